//! Chunks of a whole video's reconstruction, all of one length.

use tch::Tensor;
use vidtok_core::Reconstructed;

/// Frames in which whole videos are coded and measured.
pub(super) const CHUNK: usize = 16;

/// Cuts the output of a streaming codec, which comes in any lengths, into chunks of [`CHUNK`] frames.
#[derive(Default)]
pub(super) struct Chunks {
    waiting: Vec<Reconstructed>,
}

impl Chunks {
    /// Adds output, and returns the chunks that are complete.
    pub(super) fn push(&mut self, output: Reconstructed) -> Vec<Reconstructed> {
        self.waiting.push(output);
        let Some(mut all) = self.rest() else { return Vec::new() };
        let mut chunks = Vec::new();
        while all.input.size()[2] >= CHUNK as i64 {
            let (first, rest) = split(all, CHUNK as i64);
            chunks.push(first);
            all = rest;
        }
        if all.input.size()[2] > 0 {
            self.waiting.push(all);
        }
        chunks
    }

    /// The frames that are still waiting, as one chunk.
    pub(super) fn rest(&mut self) -> Option<Reconstructed> {
        let parts = std::mem::take(&mut self.waiting);
        if parts.is_empty() {
            return None;
        }
        let join = |part: fn(&Reconstructed) -> &Tensor| Tensor::cat(&parts.iter().map(part).collect::<Vec<_>>(), 2);
        let indices: Vec<Tensor> =
            parts.iter().filter_map(|part| part.indices.as_ref()).map(|indices| indices.flatten(0, -1)).collect();
        let bits = parts.iter().filter_map(|part| part.bits).reduce(|a, b| a + b);
        Some(Reconstructed {
            input: join(|part| &part.input),
            reconstruction: join(|part| &part.reconstruction),
            indices: (!indices.is_empty()).then(|| Tensor::cat(&indices, 0)),
            bits,
        })
    }
}

/// The first `frames` frames, with all codes and bits, and the remaining frames.
fn split(output: Reconstructed, frames: i64) -> (Reconstructed, Reconstructed) {
    let rest = output.input.size()[2] - frames;
    let (input, reconstruction) = (&output.input, &output.reconstruction);
    let first = Reconstructed {
        input: input.narrow(2, 0, frames),
        reconstruction: reconstruction.narrow(2, 0, frames),
        indices: output.indices,
        bits: output.bits,
    };
    let second = Reconstructed {
        input: input.narrow(2, frames, rest),
        reconstruction: reconstruction.narrow(2, frames, rest),
        indices: None,
        bits: None,
    };
    (first, second)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn output_of_any_lengths_becomes_chunks_of_one_length_and_a_rest() {
        let frames = Tensor::arange(40, (Kind::Float, Device::Cpu)).view([1, 1, 40, 1, 1]);
        let (mut chunks, mut lengths, mut found, mut start) = (Chunks::default(), Vec::new(), Vec::new(), 0);
        for length in [1, 20, 15, 4] {
            let input = frames.narrow(2, start, length);
            start += length;
            let indices = Some(Tensor::from_slice(&[length]));
            let output = Reconstructed { reconstruction: -&input, input, indices, bits: Some(length as f64) };
            found.extend(chunks.push(output));
        }
        found.extend(chunks.rest());
        lengths.extend(found.iter().map(|chunk| chunk.input.size()[2]));
        assert_eq!(lengths, [16, 16, 8]);
        let joined = Tensor::cat(&found.iter().map(|chunk| &chunk.input).collect::<Vec<_>>(), 2);
        assert!(joined.equal(&frames) && chunks.rest().is_none());
        assert_eq!(found.iter().filter_map(|chunk| chunk.bits).sum::<f64>(), 40.0);
        assert_eq!(found.iter().filter_map(|chunk| chunk.indices.as_ref()).map(Tensor::numel).sum::<usize>(), 4);
    }
}
