//! Encoded clips.

use tch::Tensor;
use vidtok::EncodedFile;

use super::tensor_file::bytes;
use super::tiny::with_models;
use crate::{Format, Outcome, Target, format, scratch};

pub(super) const TARGET: Target = Target { name: "encoded_clip", format: Format::Safetensors, seeds, read };

/// Larger latents are not decoded, to save time.
const MAX_NUMBERS: usize = 1 << 10;

fn seeds() -> Vec<Vec<u8>> {
    let floats: Vec<u8> = (0..4 * 2 * 3 * 4).flat_map(|i: i16| (f32::from(i) * 0.02).to_le_bytes()).collect();
    let integers: Vec<u8> = (0..2 * 3 * 4).flat_map(|i: i32| (i * 21).to_le_bytes()).collect();
    let texts = [
        ("vidtok.model", "tiny"),
        ("vidtok.weights_sha256", "0123456789abcdef"),
        ("vidtok.version", "0.1.0"),
        ("vidtok.fps", "30000/1001"),
        ("vidtok.frames", "3"),
        ("vidtok.size", "7x6"),
        ("vidtok.padding", "front=1 bottom=0 right=1 back=0"),
        ("vidtok.window", "16 overlap=2"),
    ];
    // The window is longer than any clip.
    let whole = [("vidtok.window", "9223372036854775807 overlap=9223372036854775807")];
    let shape = &[1, 4, 2, 3, 4];
    vec![
        format::safetensors(&texts, &[("latent", "F32", shape, &floats), ("logvar", "F32", shape, &floats)]),
        format::safetensors(&texts[..7], &[("indices", "I32", &[1, 2, 3, 4], &integers)]),
        format::safetensors(&[], &[("latent", "F32", shape, &floats)]),
        format::safetensors(&whole, &[("latent", "F32", shape, &floats)]),
    ]
}

/// Checks that a clip stays the same when it is written and read again, and that a model that accepts it decodes it to
/// the expected size.
fn read(file: &[u8]) -> Outcome {
    scratch::with_file("a.safetensors", file, |path| {
        let read = EncodedFile::read(path)?;
        let copy = path.with_file_name("b.safetensors");
        read.write(&copy, [3, 6, 7])?;
        let again = EncodedFile::read(&copy)?;
        let texts = |file: &EncodedFile| {
            let EncodedFile { padding, window, model, weights_sha256, frame_rate, .. } = file;
            (*padding, *window, model.clone(), weights_sha256.clone(), *frame_rate)
        };
        assert_eq!(texts(&again), texts(&read));
        let tensors = |file: &EncodedFile| {
            let describe = |tensor: &Tensor| (tensor.kind(), tensor.size(), bytes(tensor));
            [&file.latent, &file.logvar, &file.indices].map(|tensor| tensor.as_ref().map(describe))
        };
        assert_eq!(tensors(&again), tensors(&read));

        with_models(|models| {
            let mut outcomes = models.map(|model| {
                let encoded = model.read_encoded(&read)?;
                if encoded.latent.numel() > MAX_NUMBERS {
                    return Ok(());
                }
                let [b, _, t, h, w] = encoded.latent.size()[..] else { panic!("{:?}", encoded.latent) };
                let padding = encoded.padding;
                let clip = [2 * t - padding.front - padding.back, 2 * h - padding.bottom, 2 * w - padding.right];
                assert_eq!(model.decode(&encoded)?.size(), [&[b, 3][..], &clip].concat());
                Ok(())
            });
            // Each model refuses clips of other models.
            outcomes.sort_by_key(Result::is_err);
            let [best, ..] = outcomes;
            best
        })
    })
}
