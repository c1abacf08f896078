//! `vidtok detokenize`: a dataset of tokens back to videos.

use std::path::PathBuf;

use clap::Args;
use vidtok_tokenize::{DetokenizeOptions, detokenize};

use crate::args::{ComputeArgs, ModelArgs, parse_bytes};
use crate::io::clip::WriteArgs;
use crate::process::signals::end_on_signals;
use crate::terminal::notices::Notices;
use crate::terminal::progress;

/// Arguments of `vidtok detokenize`.
#[derive(Debug, Args)]
pub(crate) struct DetokenizeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Folder of a dataset (of `vidtok tokenize`)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the videos: KEY.mp4
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only the videos of this key or path; * stands for any characters, ? for one; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The most memory to hold, such as 2GiB
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = parse_bytes)]
    max_memory: u64,
    #[command(flatten)]
    write: WriteArgs,
}

pub(crate) fn run(arguments: &DetokenizeArgs) -> anyhow::Result<()> {
    let stop = end_on_signals("videos that are restored stay; the same command starts anew")?;
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
    let mut notices = Notices::default();
    let count = detokenize(&tokenizer, &options, &mut |video, new| {
        progress::say(&spinner, &format!("restored {}", video.key));
        let lines = new.iter().filter_map(|notice| notices.line(&video.key, notice));
        lines.for_each(|line| spinner.suspend(|| eprintln!("{line}")));
    })?;
    spinner.finish_and_clear();
    println!("restored       {count} videos in {}", arguments.out.display());
    Ok(())
}
