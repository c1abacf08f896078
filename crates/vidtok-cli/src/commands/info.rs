//! `vidtok info`: describes a model.

use std::path::Path;

use clap::Args;
use vidtok::Tokenizer;

use crate::args::ModelArgs;

/// Arguments of `vidtok info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(arguments: &InfoArgs) -> anyhow::Result<()> {
    let (config, weights) = arguments.model.read()?;
    match weights {
        None => print_model(&Tokenizer::shapes(config)?),
        Some(weights) => {
            let (path, origin) = (weights.path().to_owned(), weights.origin().map(str::to_owned));
            let tokenizer = Tokenizer::with_weights(config, weights, tch::Device::Cpu, tch::Kind::Float)?;
            print_model(&tokenizer);
            print_weights(&tokenizer, &path, origin.as_deref());
        }
    }
    Ok(())
}

fn print_model(tokenizer: &Tokenizer) {
    let (config, quantizer) = (tokenizer.config(), tokenizer.quantizer());
    let model = &config.model;
    let f_s = model.spatial_factor();
    println!("name         {}", config.name);
    println!("causality    {}", model.causality);
    println!("compression  {} x {f_s} x {f_s} (time x height x width)", model.temporal_factor());
    let z = quantizer.latent_channels();
    match quantizer.codebook_size() {
        None => println!("latent       continuous (KL), {z} channels"),
        Some(codes) => println!("latent       discrete (FSQ), {} codes, {z} channels", grouped(codes)),
    }
    if let Some(statistics) = &config.latent_statistics {
        let list = |values: &[f64]| values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(" ");
        println!("  mean       {}", list(&statistics.mean));
        println!("  std        {}", list(&statistics.std));
    }
    println!("parameters   {}", grouped(tokenizer.parameters().count("")));
    println!("  encoder    {}", grouped(tokenizer.parameters().count("encoder.")));
    println!("  decoder    {}", grouped(tokenizer.parameters().count("decoder.")));
}

fn print_weights(tokenizer: &Tokenizer, path: &Path, origin: Option<&str>) {
    println!("weights      {}", path.display());
    println!("  sha256     {}", tokenizer.weights_sha256());
    if let Some(origin) = origin {
        println!("  origin     {origin}");
    }
}

/// The number with its digits in groups of three, such as 157,451,663.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([7, 1234, 157_451_663].map(grouped), ["7", "1,234", "157,451,663"]);
    }
}
