//! `vidtok detokenize`: decodes a token dataset to videos.

use std::path::PathBuf;

use clap::Args;
use vidtok_tokenize::{DetokenizeOptions, detokenize};

use crate::args::{ComputeArgs, ModelArgs, WriteArgs, parse_bytes};
use crate::process::signals::stop_promptly;
use crate::terminal::notices::FirstNotices;
use crate::terminal::progress;

/// Arguments of `vidtok detokenize`.
#[derive(Debug, Args)]
pub(crate) struct DetokenizeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Folder of the dataset (written by `vidtok tokenize`)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the videos, KEY.mp4 each
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Decode only videos with this key or path, where * matches any characters and ? matches one; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Memory limit, such as 2GiB
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = parse_bytes)]
    max_memory: u64,
    #[command(flatten)]
    write: WriteArgs,
}

pub(crate) fn run(arguments: &DetokenizeArgs) -> anyhow::Result<()> {
    let stop = stop_promptly("restored videos are kept; run the same command to start again")?;
    let tokenizer = arguments.model.load(&arguments.compute)?;
    let options = DetokenizeOptions {
        data: arguments.data.clone(),
        out: arguments.out.clone(),
        only: arguments.only.clone(),
        max_memory: arguments.max_memory,
        write: arguments.write.options(),
        stop,
    };
    let spinner = progress::spinner("restoring videos");
    let mut notices = FirstNotices::default();
    let count = detokenize(&tokenizer, &options, &mut |video, new| {
        progress::set_message(&spinner, &format!("restored {}", video.key));
        let lines = new.iter().filter_map(|notice| notices.line(&video.key, notice));
        lines.for_each(|line| spinner.suspend(|| eprintln!("{line}")));
    })?;
    spinner.finish_and_clear();
    println!("restored       {count} videos in {}", arguments.out.display());
    Ok(())
}
