//! Models from the Hugging Face hub, of which a server on this machine plays the part.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use assert_cmd::Command;
use sha2::{Digest, Sha256};

mod bench;

use bench::{Bench, FSQ, KL};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does; it may change while it runs.
#[derive(Default)]
struct State {
    /// The files of the repository `owner/name`.
    files: BTreeMap<String, Vec<u8>>,
    /// The token that it asks for.
    token: Option<String>,
    /// How many more transfers end in the middle.
    cuts: usize,
    /// Whether the bytes of large files arrive damaged.
    is_damaged: bool,
    /// The first byte of each transfer of a large file that was asked for.
    transfers: Vec<u64>,
    /// The paths that were asked for.
    paths: Vec<String>,
}

/// A server that answers as the hub does: small files directly, large ones through a second address.
struct FakeHub {
    endpoint: String,
    state: Arc<Mutex<State>>,
}

impl FakeHub {
    fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let (shared, base) = (Arc::clone(&state), endpoint.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away is no fault of the server.
                let _ = answer(&stream.unwrap(), &base, &mut shared.lock().unwrap());
            }
        });
        Self { endpoint, state }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn get<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.lock().unwrap())
    }
}

fn answer(stream: &TcpStream, base: &str, state: &mut State) -> std::io::Result<()> {
    let lines: Vec<String> =
        BufReader::new(stream).lines().map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
    let header = |name: &str| {
        let fields = lines.iter().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let path = lines[0].split(' ').nth(1).unwrap_or_default().to_owned();
    state.paths.push(path.clone());
    let plain = |status: &str, headers: &str, body: &[u8]| {
        let length = body.len();
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n")?;
        stream.write_all(body)
    };
    let bearer = state.token.as_ref().map(|token| format!("Bearer {token}"));
    let second = path.strip_prefix("/cdn/");
    if second.is_none() && bearer.is_some() && header("authorization") != bearer {
        return plain("401 Unauthorized", "", b"");
    }
    if path == "/api/models/owner/name/revision/main" {
        let siblings: Vec<String> = state.files.keys().map(|name| format!("{{\"rfilename\": {name:?}}}")).collect();
        let body = format!("{{\"siblings\": [{}], \"sha\": {COMMIT:?}}}", siblings.join(", "));
        return plain("200 OK", "Content-Type: application/json\r\n", body.as_bytes());
    }
    let name = second.or_else(|| path.strip_prefix("/owner/name/resolve/main/")).unwrap_or_default();
    let Some(bytes) = state.files.get(name) else { return plain("404 Not Found", "", b"") };
    let is_large = !name.ends_with(".json");
    if is_large && second.is_none() {
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let headers =
            format!("Location: {base}/cdn/{name}\r\nx-repo-commit: {COMMIT}\r\nx-linked-etag: \"{hash}\"\r\n");
        return plain("302 Found", &headers, b"");
    }
    let range = header("range").unwrap_or_default();
    let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let first: u64 = first.parse().unwrap_or(0);
    let end = last.parse().map_or(bytes.len() as u64, |last: u64| last + 1);
    let mut body = bytes[first as usize..end as usize].to_vec();
    let length = body.len();
    if is_large && last.is_empty() {
        state.transfers.push(first);
        if state.is_damaged {
            body.iter_mut().for_each(|byte| *byte ^= 1);
        }
        if state.cuts > 0 {
            state.cuts -= 1;
            body.truncate(length / 2);
        }
    }
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Length: {length}\r\nContent-Range: bytes \
         {first}-{}/{}\r\nETag: \"{:040x}\"\r\nx-repo-commit: {COMMIT}\r\n\r\n",
        end - 1,
        bytes.len(),
        bytes.len(),
    )?;
    stream.write_all(&body)
}

/// The program with the hub at `endpoint` and its cache in the bench's folder.
fn vidtok(bench: &Bench, endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = bench.vidtok(arguments);
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("HF_") || name.to_lowercase().contains("proxy"))
    {
        command.env_remove(name);
    }
    command.env("HF_HOME", bench.path("cache")).env("HF_ENDPOINT", endpoint);
    command
}

fn stderr_of_failure(mut command: Command) -> String {
    let output = command.assert().code(1).get_output().clone();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.lines().count() == 1 && printed.starts_with("error: "), "{printed}");
    printed
}

fn stdout(mut command: Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

/// All files of the cache that are not links.
fn blobs(bench: &Bench) -> Vec<PathBuf> {
    let folder = bench.path("cache/hub/models--owner--name/blobs");
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_none_or(|end| end != "lock")).collect()
}

fn model(bench: &Bench) -> Vec<u8> {
    fs::read(bench.path("model.safetensors")).unwrap()
}

const INFO: [&str; 3] = ["info", "--model", "hf:owner/name"];

#[test]
fn a_model_is_downloaded_once_and_then_used_without_a_network() {
    let bench = Bench::new("v1.0", KL);
    let hub = FakeHub::start(&[("README.md", b"a model".to_vec()), ("tiny.safetensors", model(&bench))]);
    let expected = stdout(bench.vidtok(&["info", "--model", "model.safetensors"]));
    let hash = expected.lines().find(|line| line.contains("sha256")).unwrap();
    assert!(stdout(vidtok(&bench, &hub.endpoint, &INFO)).contains(hash));
    let named = ["info", "--model", "hf:owner/name:tiny.safetensors"];
    assert!(stdout(vidtok(&bench, &hub.endpoint, &named)).contains(hash));
    assert_eq!(hub.get(|state| state.transfers.clone()), [0]);

    let offline = |arguments: &[&str]| {
        let mut command = vidtok(&bench, "http://127.0.0.1:1", arguments);
        command.env("HF_HUB_OFFLINE", "1");
        command
    };
    assert!(stdout(offline(&INFO)).contains(hash) && stdout(offline(&named)).contains(hash));
    let error = stderr_of_failure(offline(&["info", "--model", "hf:owner/other"]));
    assert!(error.contains("hf:owner/other: not in the cache") && error.contains("HF_HUB_OFFLINE"), "{error}");
    let error = stderr_of_failure(vidtok(&bench, "http://127.0.0.1:1", &["info", "--model", "hf:owner/other"]));
    assert!(error.contains("hf:owner/other: http://127.0.0.1:1: "), "{error}");
}

#[test]
fn an_interrupted_download_continues_where_it_ended() {
    let bench = Bench::new("v1.0", KL);
    let bytes = model(&bench);
    let hub = FakeHub::start(&[("tiny.safetensors", bytes.clone())]);
    hub.set(|state| state.cuts = 2);
    stdout(vidtok(&bench, &hub.endpoint, &INFO));
    let half = bytes.len() as u64 / 2;
    let quarter = (bytes.len() as u64 - half) / 2;
    assert_eq!(hub.get(|state| state.transfers.clone()), [0, half, half + quarter]);

    fs::remove_dir_all(bench.path("cache")).unwrap();
    hub.set(|state| state.cuts = usize::MAX);
    let error = stderr_of_failure(vidtok(&bench, &hub.endpoint, &INFO));
    assert!(error.contains(&format!("of {} bytes; the same command continues there", bytes.len())), "{error}");
    hub.set(|state| (state.cuts, state.transfers) = (0, Vec::new()));
    stdout(vidtok(&bench, &hub.endpoint, &INFO));
    let continued = hub.get(|state| state.transfers.clone());
    assert!(continued.len() == 1 && continued[0] > half, "{continued:?}");
}

#[test]
fn a_damaged_download_is_removed_and_a_new_one_is_taken() {
    let bench = Bench::new("v1.0", KL);
    let hub = FakeHub::start(&[("tiny.safetensors", model(&bench))]);
    hub.set(|state| state.is_damaged = true);
    let error = stderr_of_failure(vidtok(&bench, &hub.endpoint, &INFO));
    assert!(
        error.contains("hf:owner/name: the downloaded file is damaged and was removed: expected sha256"),
        "{error}"
    );
    assert_eq!(blobs(&bench), Vec::<PathBuf>::new());
    hub.set(|state| state.is_damaged = false);
    stdout(vidtok(&bench, &hub.endpoint, &INFO));
}

#[test]
fn a_token_is_sent_and_refusals_say_what_to_do() {
    let bench = Bench::new("v1.0", KL);
    let hub = FakeHub::start(&[("tiny.safetensors", model(&bench)), ("other.ckpt", Vec::new())]);
    let error = stderr_of_failure(vidtok(&bench, &hub.endpoint, &INFO));
    assert!(error.contains("hf:owner/name: the repository holds 2 models; name one of them, such as :"), "{error}");
    hub.set(|state| state.token = Some("secret".to_owned()));
    let named = ["info", "--model", "hf:owner/name:tiny.safetensors"];
    for token in [None, Some("wrong")] {
        let mut command = vidtok(&bench, &hub.endpoint, &named);
        token.map(|token| command.env("HF_TOKEN", token));
        let error = stderr_of_failure(command);
        assert!(error.contains("refuses access (status 401): set HF_TOKEN") && !error.contains("wrong"), "{error}");
    }
    fs::create_dir_all(bench.path("cache")).unwrap();
    fs::write(bench.path("cache/token"), "secret\n").unwrap();
    stdout(vidtok(&bench, &hub.endpoint, &named));
    let error = stderr_of_failure(vidtok(&bench, &hub.endpoint, &["info", "--model", "hf:owner/name:missing.ckpt"]));
    assert!(error.contains("hf:owner/name:missing.ckpt: not found at http://127.0.0.1"), "{error}");
    let error = stderr_of_failure(vidtok(&bench, &hub.endpoint, &["info", "--model", "hf:owner"]));
    assert!(error.contains("\"hf:owner\": expected hf:OWNER/NAME"), "{error}");
}

#[test]
fn published_models_are_known_by_name_and_folders_of_diffusers_are_taken_whole() {
    let bench = Bench::new("v1.1", FSQ);
    stdout(bench.vidtok(&["convert", "--to", "diffusers", "model.safetensors", "folder"]));
    let read = |name: &str| fs::read(bench.path("folder").join(name)).unwrap();
    let weights = "diffusion_pytorch_model.safetensors";
    let hub = FakeHub::start(&[("config.json", read("config.json")), (weights, read(weights))]);
    let expected = stdout(bench.vidtok(&["info", "--model", "folder"]));
    let hash = expected.lines().find(|line| line.contains("sha256")).unwrap();
    assert!(stdout(vidtok(&bench, &hub.endpoint, &INFO)).contains(hash));
    let mut offline = vidtok(&bench, "http://127.0.0.1:1", &INFO);
    offline.env("HF_HUB_OFFLINE", "yes");
    assert!(stdout(offline).contains(hash));

    let published = ["info", "--model", "vidtok_kl_causal_488_4chn_v1_1"];
    let error = stderr_of_failure(vidtok(&bench, &hub.endpoint, &published));
    let path = "checkpoints/vidtok_v1_1/vidtok_kl_causal_488_4chn_v1_1.ckpt";
    assert!(error.contains(&format!("hf:microsoft/VidTok:{path}: not found")), "{error}");
    let asked = hub.get(|state| state.paths.last().cloned());
    assert_eq!(asked.as_deref(), Some(format!("/microsoft/VidTok/resolve/main/{path}").as_str()));
}
