//! Restoring a state from its saved tensors.
//!
//! The network and the stream alone determine the shapes of what the layers keep. To find them, the network takes a
//! rehearsal step on an empty batch: it visits its layers and cuts its strips as always and keeps tensors of the
//! right shapes, without computing a number.

use std::collections::{BTreeMap, BTreeSet};

use tch::{Kind, Tensor};

use crate::network::Network;
use crate::stream::error::StreamError;
use crate::stream::state::StreamState;

/// A number of frames after which the shapes of what layers keep do not change. A multiple of every temporal factor.
const LONG: i64 = 1 << 16;
/// The most strips of a frame.
const MOST_STRIPS: i64 = 1 << 16;
/// The most numbers of an activation; the sizes of larger ones in bytes overflow.
const MOST_NUMBERS: i64 = 1 << 59;

/// Restores the state of `network` in a stream of `[b, c, t, h, w]` in strips of `strip_rows` rows from its saved
/// [`tensors`](StreamState::tensors), which may be among others.
pub(crate) fn restore(
    network: &dyn Network,
    tensors: &BTreeMap<String, Tensor>,
    [b, h, w]: [i64; 3],
    strip_rows: Option<i64>,
) -> Result<StreamState, StreamError> {
    let mut state = StreamState::streaming();
    if let Some(rows) = strip_rows {
        state = state.in_strips(rows);
    }
    // The number of frames that the first layer over time has seen, in any strip. It is in the first group that saved
    // any, and saw the frames of the input, or patches of them. Non-causal layers save none.
    let first = tensors.iter().find(|(name, _)| name.starts_with("frames.") && name.ends_with(".0.seen"));
    let seen = first.map(|(name, tensor)| number(name, tensor)).transpose()?;
    let seen = seen.map(|seen| seen.saturating_mul(network.input().frames_in_patch));
    if let Some(seen) = seen {
        rehearse(network, [seen.min(LONG), h, w], &mut state)?;
        state.set_batch_size(b);
    }
    let mut names = BTreeSet::new();
    for (name, slot) in state.slots_mut() {
        let Some(expected) = &slot.kept else { continue };
        let [kept_name, seen_name] = [format!("{name}.kept"), format!("{name}.seen")];
        slot.kept = Some(saved(&kept_name, expected, b, tensors)?);
        let found = tensors.get(&seen_name).map(|tensor| number(&seen_name, tensor)).transpose()?;
        // In a stream longer than the rehearsal, layers have seen more frames.
        slot.seen = match found {
            Some(found) if found == slot.seen || (seen > Some(LONG) && found > slot.seen) => found,
            Some(found) => return Err(wrong(&seen_name, slot.seen.to_string(), found.to_string())),
            None => return Err(wrong(&seen_name, slot.seen.to_string(), "none".to_owned())),
        };
        names.extend([kept_name, seen_name]);
    }
    match tensors.iter().find(|(name, _)| name.starts_with("frames.") && !names.contains(*name)) {
        Some((name, tensor)) => Err(wrong(name, "no such tensor".to_owned(), describe(tensor))),
        None => Ok(state),
    }
}

/// Takes a step on an empty batch of clips `[t, h, w]`, which leaves the shapes of what layers keep.
fn rehearse(network: &dyn Network, [t, h, w]: [i64; 3], state: &mut StreamState) -> Result<(), StreamError> {
    let input = network.input();
    let numbers = [t, h, w].iter().try_fold(input.density, |numbers, &n| numbers.checked_mul(n));
    let strips = state.strip_rows().map_or(1, |rows| h / rows);
    if numbers.is_none_or(|numbers| numbers > MOST_NUMBERS) || strips > MOST_STRIPS {
        let found = format!("{t} frames of {h} x {w} in {strips} strips");
        return Err(StreamError::Input {
            network: input.network,
            expected: "a size that memory can hold".to_owned(),
            found,
        });
    }
    let options = (input.weight.kind(), input.weight.device());
    let clips = Tensor::f_zeros([0, input.channels, t, h, w], options);
    let clips = clips.map_err(|error| StreamError::Input {
        network: input.network,
        expected: "a clip".to_owned(),
        found: error.to_string().lines().next().unwrap_or_default().to_owned(),
    })?;
    tch::no_grad(|| network.step(&clips, state)).map(drop)
}

/// The saved tensor `name` of `b` clips, which must fit what a rehearsal kept of an empty batch.
fn saved(name: &str, rehearsed: &Tensor, b: i64, tensors: &BTreeMap<String, Tensor>) -> Result<Tensor, StreamError> {
    let shape = [&[b], &rehearsed.size()[1..]].concat();
    match tensors.get(name) {
        Some(found)
            if found.size() == shape && found.kind() == rehearsed.kind() && found.device() == rehearsed.device() =>
        {
            Ok(found.shallow_clone())
        }
        found => {
            let found = found.map_or("none".to_owned(), describe);
            Err(wrong(name, format!("{:?} {shape:?}", rehearsed.kind()), found))
        }
    }
}

/// The integer in a tensor of one element.
fn number(name: &str, tensor: &Tensor) -> Result<i64, StreamError> {
    let number = (tensor.kind() == Kind::Int64).then(|| i64::try_from(tensor).ok()).flatten();
    number.ok_or_else(|| wrong(name, "one Int64".to_owned(), describe(tensor)))
}

fn wrong(name: &str, expected: String, found: String) -> StreamError {
    StreamError::Slot { name: name.to_owned(), expected, found }
}

fn describe(tensor: &Tensor) -> String {
    format!("{:?} {:?}", tensor.kind(), tensor.size())
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_torch::ParamPath;

    use super::*;
    use crate::blocks::resample::Resample;
    use crate::causality::Causality;
    use crate::config::ArchConfig;
    use crate::decoder::Decoder;
    use crate::encoder::Encoder;
    use crate::patch::Patch;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn networks(causality: Causality) -> (Encoder, Decoder) {
        let config = ArchConfig {
            causality,
            ch: 2,
            ch_mult: vec![1, 2, 1],
            num_res_blocks: 1,
            spatial_down: vec![0, 1],
            spatial_up: vec![1, 2],
            temporal_down: vec![0, 1],
            temporal_up: vec![1, 2],
            patch: Patch::default(),
            resample: Resample::default(),
            middle: true,
            linear: false,
            decoder: None,
        };
        let path = |name: &str| ParamPath::fresh(Device::Cpu).sub(name);
        (Encoder::new(&path("encoder"), &config, 4), Decoder::new(&path("decoder"), &config, 4))
    }

    /// Checks that the state after each step of these lengths is restored from its tensors.
    fn assert_restored(network: &dyn Network, [b, h, w]: [i64; 3], lengths: &[i64], rows: Option<i64>) {
        let mut state = StreamState::streaming();
        if let Some(rows) = rows {
            state = state.in_strips(rows);
        }
        let channels = network.input().channels;
        for length in lengths {
            let x = Tensor::rand([b, channels, *length, h, w], CPU);
            let _ = tch::no_grad(|| network.step(&x, &mut state)).unwrap();
            let tensors: BTreeMap<String, Tensor> = state.tensors().into_iter().collect();
            let restored = restore(network, &tensors, [b, h, w], rows).unwrap();
            let restored: BTreeMap<String, Tensor> = restored.tensors().into_iter().collect();
            assert_eq!(restored.len(), tensors.len());
            assert!(restored.iter().all(|(name, tensor)| tensors[name].equal(tensor)));
        }
    }

    #[test]
    fn the_state_after_any_step_in_any_strips_is_restored() {
        for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
            let (encoder, decoder) = networks(causality);
            for rows in [None, Some(4), Some(7), Some(100)] {
                assert_restored(&encoder, [2, 16, 8], &[4, 4, 12], rows);
                assert_restored(&encoder, [1, 20, 4], &[8], rows);
                for lengths in [&[1, 1, 1, 1][..], &[2, 1, 3], &[5]] {
                    assert_restored(&decoder, [1, 9, 2], lengths, rows.map(|rows| rows / 3));
                }
            }
        }
    }

    #[test]
    fn a_long_stream_is_restored_and_an_impossibly_large_one_is_rejected() {
        let (encoder, _) = networks(Causality::V1_0);
        let mut state = StreamState::streaming();
        let _ = tch::no_grad(|| encoder.forward(&Tensor::rand([1, 3, 4, 8, 8], CPU), &mut state)).unwrap();
        let mut tensors: BTreeMap<String, Tensor> = state.tensors().into_iter().collect();
        for (name, tensor) in &mut tensors {
            if name.ends_with(".seen") {
                *tensor = &*tensor * (1 << 30);
            }
        }
        assert!(encoder.restore(&tensors, [1, 8, 8], None).is_ok());
        let error = encoder.restore(&tensors, [1, 1 << 40, 8], None).unwrap_err();
        assert!(matches!(error, StreamError::Input { .. }), "{error}");
        assert!(encoder.restore(&tensors, [1, 1 << 20, 8], Some(1)).is_err(), "too many strips");
        assert!(
            encoder.restore(&tensors, [1, 8, 16], None).is_err() && encoder.restore(&tensors, [2, 8, 8], None).is_err()
        );
    }

    #[test]
    fn a_state_continues_only_the_stream_that_it_began() {
        let (encoder, decoder) = networks(Causality::V1_0);
        let latent = |shape: [i64; 5]| Tensor::rand(shape, CPU);
        let step = |x: &Tensor, state: &mut StreamState| tch::no_grad(|| decoder.forward(x, state)).map(|y| y.size());
        let mut state = StreamState::streaming();
        assert_eq!(step(&latent([1, 4, 1, 2, 2]), &mut state).unwrap(), [1, 3, 4, 8, 8]);
        for other in [[1, 4, 2, 8, 8], [1, 4, 1, 2, 1], [2, 4, 1, 2, 2]] {
            let error = step(&latent(other), &mut state).unwrap_err().to_string();
            assert!(error.starts_with("the state belongs to the decoder over Float [1, 4, t, 2, 2] on Cpu"), "{error}");
        }
        assert_eq!(step(&latent([1, 4, 1, 2, 2]), &mut state).unwrap(), [1, 3, 4, 8, 8]);
        let video = Tensor::rand([1, 3, 4, 8, 8], CPU);
        assert!(encoder.forward(&video, &mut state).is_err(), "another network");
        // The last step of a clip keeps nothing, so another clip may follow.
        let mut whole = StreamState::whole_clip();
        assert!(
            step(&latent([1, 4, 1, 2, 2]), &mut whole).is_ok() && step(&latent([2, 4, 1, 3, 2]), &mut whole).is_ok()
        );
    }

    #[test]
    fn an_input_that_does_not_fit_the_network_is_an_error() {
        let (encoder, decoder) = networks(Causality::V1_0);
        let mut state = StreamState::streaming();
        for shape in [&[1, 3, 4, 8][..], &[1, 4, 4, 8, 8], &[1, 3, 3, 8, 8], &[1, 3, 4, 6, 8], &[1, 3, 0, 8, 8]] {
            let error = encoder.forward(&Tensor::zeros(shape, CPU), &mut state).unwrap_err().to_string();
            let expected = "Float [b, 3, t, h, w] on Cpu, t a multiple of 4, h and w multiples of 4";
            assert_eq!(error, format!("the encoder's input: expected {expected}, found Float {shape:?} on Cpu"));
        }
        let error =
            decoder.forward(&Tensor::zeros([1, 4, 1, 2, 2], (Kind::Int64, Device::Cpu)), &mut state).unwrap_err();
        assert!(error.to_string().ends_with("found Int64 [1, 4, 1, 2, 2] on Cpu"), "{error}");
        let empty = encoder.forward(&Tensor::zeros([0, 3, 4, 8, 8], CPU), &mut state).unwrap();
        assert_eq!(empty.size(), [0, 4, 1, 2, 2], "an empty batch is valid");
    }
}
