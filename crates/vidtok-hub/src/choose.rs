//! Which files of a repository are its model, if the name does not say.

/// The configuration and the weights of a model as the Python library diffusers stores it.
const DIFFUSERS: [&str; 2] = ["config.json", "diffusion_pytorch_model.safetensors"];
/// Extensions of files that are a model by themselves.
const EXTENSIONS: [&str; 4] = [".safetensors", ".ckpt", ".pt", ".pth"];

/// The files to fetch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A file that is the model.
    File(String),
    /// Files whose folder is the model.
    Folder(Vec<String>),
}

/// Chooses among the files of a repository.
///
/// # Errors
/// The reason, if there is no model or more than one.
pub(crate) fn choose(files: &[String]) -> Result<Choice, String> {
    if DIFFUSERS.iter().all(|name| files.iter().any(|file| file == name)) {
        return Ok(Choice::Folder(DIFFUSERS.map(str::to_owned).into()));
    }
    let mut models = files.iter().filter(|file| EXTENSIONS.iter().any(|extension| file.ends_with(extension)));
    match (models.next(), models.next()) {
        (Some(model), None) => Ok(Choice::File(model.clone())),
        (None, _) => Err("the repository holds no model".to_owned()),
        (Some(first), Some(second)) => Err(format!(
            "the repository holds {} models; name one of them, such as :{first} or :{second}",
            2 + models.count()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[&str]) -> Result<Choice, String> {
        choose(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_folder_of_diffusers_or_the_only_model_is_chosen() {
        let folder = ["README.md", "config.json", "diffusion_pytorch_model.safetensors", "other.ckpt"];
        assert_eq!(chosen(&folder), Ok(Choice::Folder(DIFFUSERS.map(str::to_owned).into())));
        assert_eq!(chosen(&["README.md", "a/m.safetensors"]), Ok(Choice::File("a/m.safetensors".to_owned())));
        assert_eq!(chosen(&["README.md"]).unwrap_err(), "the repository holds no model");
        let error = chosen(&["a.ckpt", "b.ckpt", "c.pt"]).unwrap_err();
        assert_eq!(error, "the repository holds 3 models; name one of them, such as :a.ckpt or :b.ckpt");
    }
}
