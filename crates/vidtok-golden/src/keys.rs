//! The parameters of the released models.

use crate::models::bit;

/// The name and shape of each parameter of the released model `name` at 128 base channels, in published order:
/// `encoder...`, then `decoder...`.
///
/// # Panics
/// If no released model has that name.
#[must_use]
pub fn keys(name: &str) -> Vec<(String, Vec<i64>)> {
    let bit = bit(name);
    include_str!("../data/keys.txt")
        .lines()
        .map(|line| parse(line).unwrap_or_else(|| panic!("data/keys.txt: {line:?}")))
        .filter(|(models, ..)| models >> bit & 1 == 1)
        .map(|(_, key, shape)| (key.to_owned(), shape))
        .collect()
}

/// Parses a line: the bit mask of the models in hexadecimal, the name, the shape.
fn parse(line: &str) -> Option<(u32, &str, Vec<i64>)> {
    let mut words = line.split(' ');
    let models = u32::from_str_radix(words.next()?, 16).ok()?;
    let key = words.next()?;
    let shape = words.next()?.split('x').map(|extent| extent.parse().ok()).collect::<Option<_>>()?;
    Some((models, key, shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(name: &str) -> i64 {
        keys(name).iter().map(|(_, shape)| shape.iter().product::<i64>()).sum()
    }

    #[test]
    fn parameter_counts_are_those_of_the_published_models() {
        for (name, count, total) in [
            ("vidtok_kl_causal_488_4chn", 416, 157_451_663),
            ("vidtok_kl_causal_288_8chn", 410, 148_769_429),
            ("vidtok_kl_causal_444_4chn", 412, 154_944_271),
            ("vidtok_kl_noncausal_41616_16chn", 500, 199_465_639),
            ("vidtok_fsq_causal_488_4096", 416, 157_396_363),
            ("vidtok_fsq_causal_888_32768_v1_1", 422, 164_944_910),
        ] {
            assert_eq!(keys(name).len(), count, "{name}");
            assert_eq!(parameters(name), total, "{name}");
        }
    }

    #[test]
    fn keys_start_with_the_input_convolution_as_published() {
        let keys = keys("vidtok_kl_causal_488_4chn");
        assert_eq!(keys[0], ("encoder.conv_in.conv.weight".to_owned(), vec![128, 3, 3, 3, 3]));
        assert_eq!(keys.last().unwrap(), &("decoder.conv_out.conv.bias".to_owned(), vec![3]));
    }
}
