//! Videos that do not fit into memory at once: plans, strips, windows.

#![allow(clippy::unwrap_used)] // a failure here is what the test is for

mod bench;

use bench::{Bench, FSQ, KL, random_video};
use tch::Tensor;
use vidtok_torch::{TensorFile, write_tensors};

/// The line that states the plan, and the latent.
fn encode_within(bench: &Bench, budget: &str) -> (String, Tensor) {
    let arguments =
        ["encode", "--model", "model.safetensors", "--max-memory", budget, "x.safetensors", "z.safetensors"];
    let printed = bench.vidtok(&arguments).assert().success().get_output().stderr.clone();
    (
        String::from_utf8(printed).unwrap(),
        TensorFile::open(&bench.path("z.safetensors")).unwrap().tensor("latent").unwrap(),
    )
}

#[test]
fn a_memory_limit_changes_the_plan_but_not_the_result() {
    let bench = Bench::new("v1.1", KL);
    write_tensors(&bench.path("x.safetensors"), [("video", &random_video([1, 3, 8, 320, 384]))], []).unwrap();
    let (plan, whole) = encode_within(&bench, "20GiB");
    assert!(plan.starts_with("plan: 8 frames at a time, about ") && plan.ends_with("of 20.00 GiB memory\n"), "{plan}");
    // The minimum depends on the memory that the process holds after it has loaded the model.
    let arguments =
        ["encode", "--model", "model.safetensors", "--max-memory", "1MiB", "x.safetensors", "y.safetensors"];
    bench.refuses(&arguments, &["1 MiB of memory is not enough: at least ", " is needed"]);
    let refused = bench.vidtok(&arguments).assert().failure().get_output().stderr.clone();
    let refused = String::from_utf8(refused).unwrap();
    let least: f64 = refused.split("at least ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    // The resident part of the program and its libraries varies from run to run.
    let (plan, strips) = encode_within(&bench, &format!("{}MiB", least + 16.0));
    assert!(plan.starts_with("plan: 2 frames at a time in strips of "), "{plan}");
    let error = (strips - whole).abs().max().double_value(&[]);
    assert!(error < 1e-5, "{error}");
    bench.vidtok(&["encode", "--max-memory", "much"]).assert().code(2);
}

#[test]
fn verify_compares_chunks_and_strips_with_the_whole_clip() {
    for (causality, config) in [("v1.1", KL), ("v1.0", FSQ), ("noncausal", KL)] {
        let bench = Bench::new(causality, config);
        bench.video("x.mp4", 9, [20, 30], "25");
        let mut printed = bench.vidtok(&["verify", "--model", "model.safetensors", "--max-frames", "7", "x.mp4"]);
        let printed = String::from_utf8(printed.assert().success().get_output().stdout.clone()).unwrap();
        assert!(printed.starts_with("7 frames of 30x20; largest difference"), "{printed}");
        assert!(printed.lines().count() > 4, "{printed}");
    }
}

#[test]
fn windows_of_noncausal_models_may_overlap() {
    let bench = Bench::new("noncausal", KL);
    bench.video("x.mp4", 30, [16, 16], "25");
    let latent = |overlap: &str| {
        let arguments = ["encode", "--model", "model.safetensors", "--overlap", overlap, "x.mp4", "z.safetensors"];
        bench.vidtok(&arguments).assert().success();
        bench.vidtok(&["decode", "--model", "model.safetensors", "z.safetensors", "y.mp4"]).assert().success();
        assert_eq!(bench.info("y.mp4").frames, 30);
        TensorFile::open(&bench.path("z.safetensors")).unwrap().tensor("latent").unwrap().size()[2]
    };
    // Windows of 16 and 14 frames; or of 16, 16 and 6 frames, each sharing 4 with the previous one.
    assert_eq!((latent("0"), latent("4")), (15, 19));
}
