//! The commands, one a file, and the command line that selects one.

mod convert;
mod decode;
mod detokenize;
mod encode;
mod evaluate;
mod info;
mod init;
mod metrics;
mod models;
mod reconstruct;
mod stats;
mod tokenize;
mod train;
mod verify;

use clap::{Parser, Subcommand};

/// Video tokenizers: encode videos to compact latents or tokens, and decode them.
#[derive(Debug, Parser)]
#[command(name = "vidtok", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Describe a model
    Info(info::InfoArgs),
    /// List models: built in, on disk and published
    Models(models::ModelsArgs),
    /// Create a one-file model with random weights
    Init(init::InitArgs),
    /// Convert a checkpoint to a one-file model
    Convert(convert::ConvertArgs),
    /// Encode a video to its latent or tokens
    Encode(encode::EncodeArgs),
    /// Decode a latent or tokens to a video
    Decode(decode::DecodeArgs),
    /// Encode and decode a video to see what is lost
    Reconstruct(reconstruct::ReconstructArgs),
    /// Evaluate models and other codecs on a folder of videos
    Evaluate(evaluate::EvaluateArgs),
    /// Compare two videos, or two folders of videos, by metrics
    Metrics(metrics::MetricsArgs),
    /// Check that chunks and strips give the same result as the whole clip
    Verify(verify::VerifyArgs),
    /// Measure the mean and standard deviation of a model's latent, and store them in the model
    Stats(stats::StatsArgs),
    /// Train a model
    Train(train::TrainArgs),
    /// Tokenize a folder of videos into a sharded dataset
    Tokenize(tokenize::TokenizeArgs),
    /// Decode a token dataset to videos
    Detokenize(detokenize::DetokenizeArgs),
}

impl Command {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Info(arguments) => info::run(arguments),
            Self::Models(arguments) => models::run(arguments),
            Self::Init(arguments) => init::run(arguments),
            Self::Convert(arguments) => convert::run(arguments),
            Self::Encode(arguments) => encode::run(arguments),
            Self::Decode(arguments) => decode::run(arguments),
            Self::Reconstruct(arguments) => reconstruct::run(arguments),
            Self::Evaluate(arguments) => evaluate::run(arguments),
            Self::Metrics(arguments) => metrics::run(arguments),
            Self::Verify(arguments) => verify::run(arguments),
            Self::Stats(arguments) => stats::run(arguments),
            Self::Train(arguments) => train::run(arguments),
            Self::Tokenize(arguments) => tokenize::run(arguments),
            Self::Detokenize(arguments) => detokenize::run(arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_usage_errors_that_name_the_range() {
        for (arguments, range) in [
            (["encode", "--threads", "1000"], "1..=256"),
            (["train", "--threads", "0"], "1..=256"),
            (["metrics", "--threads", "2147483648"], "1..=256"),
            (["encode", "--device", "cuda:99999999999999999999"], "0 to 127"),
            (["decode", "--max-memory", "1e30GiB"], "1024TiB"),
            (["reconstruct", "--overlap", "13"], "0..=12"),
            (["tokenize", "--nproc", "1000000"], "1..=256"),
            (["train", "--nproc", "0"], "1..=256"),
            (["tokenize", "--fps", "4294967295"], "0.001 to 1000000"),
            (["tokenize", "--crop", "0,16"], "1 to 16384"),
            (["evaluate", "--fps", "1e-9"], "0.001 to 1000000"),
            (["evaluate", "--max-frames", "18446744073709551615"], "1..=1000000000"),
            (["evaluate", "--compare", "down:4x9223372036854775807"], "1 to 1024"),
            (["verify", "--max-frames", "9223372036854775807"], "1..=100000"),
        ] {
            let error = Arguments::try_parse_from(["vidtok"].iter().chain(&arguments)).unwrap_err();
            let (status, message) = (error.exit_code(), error.to_string());
            assert!(
                status == 2 && message.contains(arguments[2]) && message.contains(range),
                "{arguments:?}: {message}"
            );
        }
    }
}
