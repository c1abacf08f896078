//! The stages of a run: `[[train.stages]]`, each with a name and its changes to the `[train]` table.
//!
//! VidTok is trained in two stages (arXiv 2412.13061): the whole model at low resolution, then only the decoder at a higher
//! one. Each stage starts from the weights of the one before.

use std::path::Path;

use toml::{Table, Value};
use vidtok::Config;
use vidtok_core::one_line;

use crate::config::{TrainConfig, wrong};
use crate::error::TrainError;
use crate::run::folder::LONGEST_NAME;

const STAGES: &str = "stages";
const NAME: &str = "name";

/// One stage of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The name of the stage and of its folder; `None` if the run has no stages.
    pub name: Option<String>,
    /// The `[train]` table with the changes of the stage.
    pub config: TrainConfig,
    /// The steps of all stages before, on which the quantizer's own schedules go on.
    pub earlier_steps: u64,
}

impl Stage {
    /// The stages of a configuration in order, at least one.
    ///
    /// # Errors
    /// If the `[train]` table is missing, or a stage has no name, the name of another, or invalid values.
    pub fn all(config: &Config) -> Result<Vec<Self>, TrainError> {
        let mut base = config.train.clone().ok_or_else(|| wrong("the configuration has no such table".to_owned()))?;
        let Some(stages) = base.remove(STAGES) else {
            return Ok(vec![Self { name: None, config: TrainConfig::from_table(base)?, earlier_steps: 0 }]);
        };
        let Value::Array(stages) = stages else {
            return Err(wrong("stages must be a list of tables, [[train.stages]]".to_owned()));
        };
        let mut all: Vec<Self> = Vec::new();
        for stage in stages {
            let Value::Table(mut changes) = stage else {
                return Err(wrong("stages must be a list of tables, [[train.stages]]".to_owned()));
            };
            let name = match changes.remove(NAME) {
                Some(Value::String(name)) if is_folder_name(&name) => name,
                _ => return Err(wrong("a stage needs a name of letters, digits, '-' and '_'".to_owned())),
            };
            if all.iter().any(|other| other.name.as_ref() == Some(&name)) {
                return Err(wrong(format!("two stages have the name {name}")));
            }
            let mut table = base.clone();
            overlay(&mut table, changes);
            let config = TrainConfig::from_table(table).map_err(|error| match error {
                TrainError::Config { message } => wrong(format!("stage {name}: {message}")),
                other => other,
            })?;
            let earlier_steps = all.iter().map(|stage| stage.config.steps).sum();
            all.push(Self { name: Some(name), config, earlier_steps });
        }
        if all.is_empty() { Err(wrong("stages must not be empty".to_owned())) } else { Ok(all) }
    }
}

/// Refuses overrides (`train.key=value`) that would have no effect because the stages set the same key.
///
/// # Errors
/// The first such key, with the key to set instead.
pub fn check_overrides(config: &Config, overrides: &[String]) -> Result<(), TrainError> {
    let stages = config.train.as_ref().and_then(|train| train.get(STAGES)).and_then(Value::as_array);
    for text in overrides {
        let path = text.split('=').next().unwrap_or_default().trim();
        let Some(path) = path.strip_prefix("train.").filter(|path| !path.starts_with(STAGES)) else { continue };
        let set = |stage: &&Value| path.split('.').try_fold(*stage, |value, key| value.get(key)).is_some();
        if let Some(stage) = stages.into_iter().flatten().find(set) {
            let name = stage.get(NAME).and_then(Value::as_str).unwrap_or_default();
            return Err(wrong(format!("the stages set {path}; set train.{STAGES}.{name}.{path}")));
        }
    }
    Ok(())
}

/// Reads a recipe: a file with a `[train]` table and nothing else, for any model.
///
/// # Errors
/// If the file cannot be read, is not TOML, or holds anything else.
pub fn read_recipe(path: &Path) -> Result<Table, TrainError> {
    let text = std::fs::read_to_string(path).map_err(|error| TrainError::io(path, error))?;
    let wrong = |message: String| TrainError::Recipe { path: path.to_owned(), message };
    let mut recipe: Table = toml::from_str(&text).map_err(|error| wrong(one_line(&error.to_string())))?;
    match (recipe.remove("train"), recipe.keys().next()) {
        (Some(Value::Table(train)), None) => Ok(train),
        (_, Some(key)) => Err(wrong(format!("unknown key {key}; a recipe holds only a [train] table"))),
        _ => Err(wrong("no [train] table found".to_owned())),
    }
}

fn is_folder_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Sets the values of `changes` in `table`, recursively.
fn overlay(table: &mut Table, changes: Table) {
    for (key, change) in changes {
        match (table.get_mut(&key), change) {
            (Some(Value::Table(inner)), Value::Table(changes)) => overlay(inner, changes),
            (_, change) => {
                table.insert(key, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(train: &str) -> Result<Vec<Stage>, TrainError> {
        let mut config = Config::parse(include_str!("../../../../configs/tiny_kl.toml")).unwrap();
        config.train = Some(toml::from_str(train).unwrap());
        Stage::all(&config)
    }

    const BASE: &str = "steps = 9\nbatch_size = 2\ndata = { frames = 5, size = [16, 16] }\n";

    #[test]
    fn a_run_without_stages_has_one_without_a_name() {
        let all = stages(BASE).unwrap();
        assert_eq!((all.len(), &all[0].name, all[0].config.steps), (1, &None, 9));
    }

    #[test]
    fn a_stage_changes_only_the_keys_that_it_sets() {
        let all = stages(&format!(
            "{BASE}[[stages]]\nname = \"low\"\n[[stages]]\nname = \"high\"\nfreeze_encoder = true\ndata.size = [32, 32]"
        ))
        .unwrap();
        assert_eq!(all[0].config, stages(BASE).unwrap()[0].config);
        let mut expected = all[0].config.clone();
        expected.freeze_encoder = true;
        expected.data.size = [32, 32];
        assert_eq!(all[1].config, expected);
        assert_eq!([&all[0], &all[1]].map(|stage| stage.earlier_steps), [0, 9]);
    }

    #[test]
    fn overrides_that_stages_would_undo_are_refused() {
        let mut config = Config::parse(include_str!("../../../../configs/tiny_kl.toml")).unwrap();
        let text = format!("{BASE}[[stages]]\nname = \"a\"\nsteps = 1\ndata.size = [8, 8]");
        config.train = Some(toml::from_str(&text).unwrap());
        let check = |text: &str| check_overrides(&config, &[text.to_owned()]);
        for fine in ["train.batch_size=1", "train.data.frames=3", "train.stages.a.steps=1", "model.ch=4"] {
            assert!(check(fine).is_ok(), "{fine}");
        }
        assert!(check("train.steps=3").unwrap_err().to_string().contains("train.stages.a.steps"));
        assert!(check("train.data.size=[4,4]").is_err());
    }

    #[test]
    fn errors_name_the_stage() {
        for (text, telling) in [
            ("[[stages]]\nname = \"a\"\nstepz = 1", "stage a: "),
            ("[[stages]]\nname = \"a\"\n[[stages]]\nname = \"a\"", "two stages have the name a"),
            ("[[stages]]\nsteps = 1", "needs a name"),
            ("[[stages]]\nname = \"../a\"", "needs a name"),
            ("stages = 3", "must be a list"),
            ("stages = []", "must not be empty"),
        ] {
            let error = stages(&format!("{BASE}{text}")).unwrap_err().to_string();
            assert!(error.contains(telling) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn the_example_configurations_and_the_recipe_are_valid() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let quickstart = Config::load(configs.join("quickstart.toml"), &[]).unwrap();
        let stages = Stage::all(&quickstart).unwrap();
        assert!(!stages[0].config.freeze_encoder && stages[1].config.freeze_encoder);
        let train = Some(read_recipe(&configs.join("recipes/two_stage.toml")).unwrap());
        assert_eq!(Stage::all(&Config { train, ..quickstart }).unwrap().len(), 2);
        let half_hour = Config::load(configs.join("half_hour.toml"), &[]).unwrap();
        assert_eq!(Stage::all(&half_hour).unwrap().len(), 1);
    }
}
