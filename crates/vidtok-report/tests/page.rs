//! The evaluation page in a headless browser. Skipped where no browser is installed.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a panic fails the test

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use vidtok_core::{FrameRate, FrameSink};
use vidtok_data::{Ffmpeg, VideoQuality, VideoWriter};
use vidtok_report::{EvaluationPage, PageMetric, PageModel, PageVideo};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// The time limit for the browser.
const PATIENCE: Duration = Duration::from_secs(120);
const VISITOR: &str = include_str!("visitor.js");
/// A name that would end the script if it were not escaped.
const ODD: &str = "</script><b>\u{e9}\"'.mp4";

fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    let programs = BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    programs.into_iter().find(|program| program.is_file())
}

/// Two frames whose grey levels identify frame and third: 40 and 80, 120 and 160, 200 and 240.
fn player(folder: &Path) -> Option<Vec<u8>> {
    let path = folder.join("player.mp4");
    let third = |dark: i64| {
        let frame = |level: i64| Tensor::full([32, 48, 3], level, (Kind::Uint8, Device::Cpu));
        Tensor::stack(&[frame(dark), frame(dark + 40)], 0)
    };
    let frames = Tensor::cat(&[third(40), third(120), third(200)], 2);
    let rate = FrameRate::new(5, 1)?;
    let mut writer =
        VideoWriter::create(&Ffmpeg::locate().ok()?, &path, [32, 144], rate, VideoQuality::Crf(5)).unwrap();
    writer.write(&frames).unwrap();
    writer.finish().unwrap();
    std::fs::read(path).ok()
}

fn page(player: &[u8]) -> EvaluationPage {
    let metric = |label: &str, unit: &str, higher| PageMetric {
        label: label.into(),
        unit: unit.into(),
        higher_is_better: Some(higher),
        digits: 2,
    };
    let model = |name: &str, totals: [f64; 2]| PageModel {
        name: name.into(),
        note: String::new(),
        totals: totals.map(Some).to_vec(),
    };
    let video = |name: &str, psnr: [f64; 2]| PageVideo {
        name: name.into(),
        frames: 2,
        fps: 5.0,
        values: psnr.map(|value| vec![Some(value), Some(1.0 / value)]).to_vec(),
        curves: psnr.map(|value| vec![vec![value as f32, value as f32 + 1.0], vec![]]).to_vec(),
        players: vec![Some(player.to_vec()), None],
    };
    EvaluationPage {
        title: "Two models".into(),
        remarks: vec!["a remark".into()],
        protocol: vec![("size".into(), "48x32".into())],
        metrics: vec![metric("PSNR", "dB", true), metric("LPIPS", "", false)],
        models: vec![model("large", [30.0, 0.2]), model("small", [25.0, 0.1])],
        videos: vec![video("plain.mp4", [28.0, 20.0]), video(ODD, [24.0, 30.0]), video("last.mp4", [36.0, 25.0])],
    }
}

/// Runs a script in the page and returns the JSON that it leaves in an element `found`.
fn visit(browser: &Path, page: &EvaluationPage, script: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let html = page.html().unwrap().replace("</body>", &format!("<script>{script}</script></body>"));
    std::fs::write(&path, html).unwrap();
    let (out, log) = (folder.path().join("dom"), folder.path().join("log"));
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=20000"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .args(["--dump-dom".to_owned(), format!("file://{}", path.display())])
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    child.wait().unwrap();
    let [dom, log] = [out, log].map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned());
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found = found.unwrap_or_else(|| panic!("the script left no findings: {log}"));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&found).unwrap()
}

#[test]
fn the_page_works_in_a_browser_by_keyboard_alone() {
    let Some(browser) = browser() else { return eprintln!("skipped: no browser found, tried {BROWSERS:?}") };
    let folder = tempfile::tempdir().unwrap();
    let Some(player) = player(folder.path()) else { return eprintln!("skipped: no ffmpeg found") };
    let found = visit(&browser, &page(&player), VISITOR);

    assert_eq!(found["errors"], json!([]), "{found}");
    assert_eq!(found["best"], json!(["30.00", "0.10"]));
    assert_eq!((&found["sorted"], &found["bold"]), (&json!("small"), &json!(0)));
    assert_eq!((&found["worst"], &found["next"]), (&json!(ODD), &json!("plain.mp4")));
    assert_eq!((&found["metric"], &found["model"]), (&json!("LPIPS"), &json!("small")));
    assert_eq!(found["order"], json!([ODD, "last.mp4", "plain.mp4"]));
    assert_eq!((&found["size"], &found["curves"]), (&json!([48, 32]), &json!(2)));
    assert_eq!(found["live"], "PSNR, frame 1: large 25.00, small 31.00");
    let near = |pixel: &Value, level: f64| (pixel[0].as_f64().unwrap() - level).abs() < 8.0;
    let (first, second) = (&found["first"], &found["second"]);
    assert!(near(&first["input"], 40.0) && near(&first["back"], 120.0) && near(&second["input"], 80.0), "{found}");
    assert_eq!((&first["frame"], &second["frame"]), (&json!(0), &json!(1)));
    assert!((second["time"].as_f64().unwrap() - first["time"].as_f64().unwrap() - 0.2).abs() < 0.01);
    // The wipe shows the input on the left of the reconstruction.
    assert!(found["wiped"]["hidden"] == true && near(&found["wiped"]["left"], 80.0), "{found}");
}

#[test]
fn a_page_of_a_thousand_long_videos_works() {
    let Some(browser) = browser() else { return eprintln!("skipped: no browser found, tried {BROWSERS:?}") };
    let mut large = page(&[]);
    let videos = (0..1000_u16).map(|index| {
        let level = |model: u16, frame: u16| f32::from((index * 7 + model * 3 + frame) % 50) + 0.25;
        PageVideo {
            name: format!("{index}.mp4"),
            frames: 300,
            fps: 30.0,
            values: (0..2).map(|model| vec![Some(f64::from(level(model, 0))), None]).collect(),
            curves: (0..2).map(|model| vec![(0..300).map(|frame| level(model, frame)).collect(), vec![]]).collect(),
            players: vec![None, None],
        }
    });
    large.videos = videos.collect();
    let script = r##"
        const key = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        const text = (id) => document.getElementById(id).textContent;
        const first = text("clip");
        key("ArrowDown");
        const rows = document.querySelectorAll("\#videos tbody tr").length;
        const found = { rows, first, second: text("clip"), curve: text("curve-text") };
        const pre = document.createElement("pre");
        pre.id = "found";
        pre.textContent = JSON.stringify(found);
        document.body.append(pre);"##;
    let found = visit(&browser, &large, script);
    assert_eq!(found["rows"], 1000);
    assert_eq!(found["first"], "0.mp4 by large: PSNR 0.25 dB, LPIPS \u{2013}");
    assert_eq!(found["second"], "50.mp4 by large: PSNR 0.25 dB, LPIPS \u{2013}");
    assert_eq!(found["curve"], "PSNR, frame 0: large 0.25, small 3.25");
}
