//! Tensors that are computed from their names, so that weights and inputs need no files.
//!
//! Value `i` of the tensor `name` is the splitmix64 mix (Steele, Lea, Flood 2014) of `(crc32(name) << 32) + i`. Its
//! upper 24 bits become a float32 in [-1, 1) without rounding, so that every language computes the same numbers.

use std::collections::BTreeMap;

use tch::Tensor;

/// Deterministic values in [-1, 1), float32 of `shape` on the CPU.
///
/// Each `salt` results in different values for the same name.
pub fn unit(name: &str, shape: &[i64], salt: u32) -> Tensor {
    filled(name, shape, salt, |u| u)
}

/// Plausible values for the parameter `name`, float32 of `shape` on the CPU.
///
/// The last component of the name and the shape determine the range: mix factors are near 2, gains and variances near
/// 1, biases near 0, and kernels have variance 1 / fan-in.
pub fn weight(name: &str, shape: &[i64], salt: u32) -> Tensor {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    match leaf {
        "mix_factor" => filled(name, shape, salt, |u| 2.0 + 0.5 * u),
        "running_var" => filled(name, shape, salt, |u| 1.0 + 0.2 * u.abs()),
        "logvar" | "bias" | "running_mean" | "shift" | "scale" => filled(name, shape, salt, |u| 0.1 * u),
        _ if shape.len() <= 1 => filled(name, shape, salt, |u| 1.0 + 0.1 * u),
        _ => {
            let fan_in: i64 = shape[1..].iter().product();
            let bound = (3.0 / fan_in as f64).sqrt() as f32;
            filled(name, shape, salt, |u| u * bound)
        }
    }
}

/// The [`weight`] of `prefix` + name for each parameter, in its shape, by name without the prefix.
pub fn weights<'a>(
    parameters: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    prefix: &str,
) -> BTreeMap<String, Tensor> {
    let made =
        |(name, tensor): (&str, &Tensor)| (name.to_owned(), weight(&format!("{prefix}{name}"), &tensor.size(), 0));
    parameters.into_iter().map(made).collect()
}

/// Overwrites each parameter with the [`weight`] of its name.
pub fn fill<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a Tensor)>) {
    tch::no_grad(|| {
        for (name, parameter) in parameters {
            parameter.shallow_clone().copy_(&weight(name, &parameter.size(), 0));
        }
    });
}

/// The values of `name` in [-1, 1), each passed through `map`.
fn filled(name: &str, shape: &[i64], salt: u32, map: impl Fn(f32) -> f32) -> Tensor {
    let start = u64::from(crc32fast::hash(name.as_bytes()) ^ salt) << 32;
    let count = shape.iter().product::<i64>() as u64;
    let values: Vec<f32> = (0..count).map(|i| map(to_unit(splitmix64(start.wrapping_add(i))))).collect();
    Tensor::from_slice(&values).reshape(shape)
}

fn splitmix64(state: u64) -> u64 {
    let x = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The upper 24 bits as a number in [-1, 1). Exact: neither step leaves the 24 bits of a float32.
fn to_unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / 8_388_608.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.reshape([-1])).unwrap()
    }

    /// The literals in these tests come from a NumPy implementation of the same formulas.
    #[test]
    fn unit_values_are_bit_exact() {
        let input = values(&unit("input", &[1, 3, 17, 32, 48], 0));
        assert_eq!(input[..4], [0.995_114_1, -0.300_405_38, 0.559_088_47, -0.784_702_8]);
        assert_eq!(input.last(), Some(&0.726_675_03));
        let sum: f64 = input.iter().map(|&v| f64::from(v)).sum();
        assert!((sum - 182.034_728_884_696_97).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn a_different_salt_changes_the_values() {
        let x = values(&unit("x", &[5], 7));
        assert_eq!(x[..4], [-0.582_335_23, 0.695_417_5, 0.176_924_47, 0.263_927_22]);
        assert_ne!(x, values(&unit("x", &[5], 0)));
    }

    #[test]
    fn the_range_of_a_weight_depends_on_the_last_component_of_its_name() {
        let cases: [(&str, &[i64], f32); 9] = [
            ("a.mix_factor", &[1], 1.637_854),
            ("loss.logvar", &[], -0.080_081_96),
            ("bn.running_var", &[4], 1.042_580_6),
            ("conv.bias", &[4], -0.088_866_39),
            ("norm.weight", &[4], 0.919_538_56),
            ("encoder.conv_in.conv.weight", &[8, 3, 3, 3, 3], 0.132_007_15),
            ("a.running_mean", &[3], -0.078_472_4),
            ("l.shift", &[1, 3, 1, 1], -0.047_239_136),
            ("q.weight", &[5, 7], -0.060_010_485),
        ];
        for (name, shape, last) in cases {
            let made = weight(name, shape, 0);
            assert_eq!(made.size(), shape, "{name}");
            assert_eq!(values(&made).last(), Some(&last), "{name}");
        }
    }

    #[test]
    fn fill_overwrites_parameters_with_the_weights_of_their_names() {
        let bias = Tensor::zeros([4], (tch::Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        fill([("conv.bias", &bias)]);
        assert_eq!(values(&bias).last(), Some(&-0.088_866_39));
        assert!(bias.requires_grad());
        assert_eq!(values(&weights([("bias", &bias)], "conv.")["bias"]), values(&bias));
    }
}
