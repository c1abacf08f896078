//! Runs the Python readers in docs/TOKEN_DATASETS.md. Skipped without Python and NumPy.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a failure here is what the test is for

mod bench;

use std::fs;
use std::path::Path;
use std::process::Command;

use bench::{Bench, contents, model, run};
use serde_json::{Value, json};
use tch::{Kind, Tensor};
use vidtok_data::Preparation;
use vidtok_tokenize::{NumberType, ShardFormat};

/// Prints everything that the reader returns.
const PRINT_ALL: &str = r#"
found = []
for entry, arrays in read_dataset(sys.argv[1]):
    found.append({"entry": entry, "arrays": {name: array.tolist() for name, array in arrays.items()}})
print(json.dumps(found))
"#;

/// The Python code blocks of the document, in order.
fn snippets() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/TOKEN_DATASETS.md");
    let page = fs::read_to_string(page).unwrap();
    page.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Python, if it has all of these modules.
fn python(modules: &str) -> Option<Command> {
    let program = std::env::var("VIDTOK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_modules = Command::new(&program).args(["-c", &format!("import {modules}")]).output();
    has_modules.is_ok_and(|output| output.status.success()).then(|| Command::new(program))
}

fn answer(mut python: Command, folder: &Path, code: &str, argument: &Path) -> Value {
    let script = folder.join("read.py");
    fs::write(&script, code).unwrap();
    let output = python.arg(&script).arg(argument).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A tensor as nested lists.
fn list(tensor: &Tensor) -> Value {
    if tensor.dim() == 0 {
        return match tensor.kind() {
            Kind::Int => json!(tensor.int64_value(&[])),
            _ => json!(tensor.double_value(&[])),
        };
    }
    Value::Array((0..tensor.size()[0]).map(|index| list(&tensor.get(index))).collect())
}

fn expected(folder: &Path) -> Value {
    let video = |(entry, tensors): (vidtok_tokenize::VideoEntry, std::collections::BTreeMap<&str, Tensor>)| {
        let arrays: serde_json::Map<String, Value> =
            tensors.iter().map(|(name, tensor)| ((*name).to_owned(), list(tensor))).collect();
        json!({"entry": entry, "arrays": arrays})
    };
    contents(folder).into_iter().map(video).collect()
}

#[test]
fn the_numpy_reader_in_the_docs_reads_all_formats() {
    if python("numpy").is_none() {
        return eprintln!("skipped: no Python with numpy; VIDTOK_PYTHON can name one");
    }
    let bench = Bench::new();
    let reader = snippets().remove(0);
    for (config, format, latents) in [
        ("tiny_fsq", ShardFormat::Safetensors, NumberType::F16),
        ("tiny_fsq", ShardFormat::Webdataset, NumberType::F16),
        ("tiny_kl", ShardFormat::Safetensors, NumberType::F16),
        ("tiny_kl", ShardFormat::Safetensors, NumberType::Bf16),
        ("tiny_kl", ShardFormat::Webdataset, NumberType::F16),
    ] {
        let out = format!("{config} {format:?} {latents:?}");
        let mut options = bench.options(&out, format);
        options.latents = latents;
        options.preparation = Preparation { shorter_side: Some(16), ..Preparation::default() };
        run(&model(config, "v1.0"), &options).unwrap();
        let found = answer(python("numpy").unwrap(), bench.folder.path(), &(reader.clone() + PRINT_ALL), &options.out);
        assert_eq!(found, expected(&options.out), "{out}");
    }
}

#[test]
fn the_safetensors_and_webdataset_packages_read_the_shards() {
    let bench = Bench::new();
    let all = snippets();
    for (modules, snippet, format) in
        [("numpy, safetensors", 1, ShardFormat::Safetensors), ("numpy, webdataset", 2, ShardFormat::Webdataset)]
    {
        let Some(python) = python(modules) else {
            eprintln!("skipped: no Python with {modules}; VIDTOK_PYTHON can name one");
            continue;
        };
        let options = bench.options(&format!("{format:?}"), format);
        run(&model("tiny_fsq", "v1.0"), &options).unwrap();
        let code =
            format!("{}{}print(json.dumps([[key, found.tolist()] for key, found in samples]))\n", all[0], all[snippet]);
        let shard = options.out.join(format!("shards/shard-000000.{}", format.extension()));
        let found = answer(python, bench.folder.path(), &code, &shard);
        let videos = contents(&options.out).into_iter().take(3);
        let expected: Value = videos.map(|(entry, tensors)| json!([entry.key, list(&tensors["indices"])])).collect();
        assert_eq!(found, expected, "{modules}");
    }
}
