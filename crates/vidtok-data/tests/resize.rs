//! The preparation of clips matches the reference.

use tch::Kind;
use vidtok_data::fit;
use vidtok_golden::unit;

/// Every 37th value of each case, float32, in the order of `CASES`.
const REFERENCE: &[u8] = include_bytes!("data/resize.f32");
const STRIDE: i64 = 37;
/// Pairs of `[height, width]` before and after. The second is narrower than its crop after resizing and gets black
/// borders; the third is enlarged.
const CASES: [([i64; 2], [i64; 2]); 4] =
    [([272, 640], [128, 128]), ([144, 176], [96, 128]), ([48, 40], [64, 64]), ([90, 120], [64, 64])];

#[test]
fn resized_and_cropped_frames_match_the_reference() {
    let mut reference = REFERENCE.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    for ([height, width], size) in CASES {
        let image = ((unit("image", &[1, 3, height, width], 0) + 1.0) * 127.5).round().to_kind(Kind::Uint8);
        let clip = fit(&image.permute([0, 2, 3, 1]), size);
        assert_eq!(clip.size(), [1, 3, 1, size[0], size[1]]);
        let sampled = clip.contiguous().flatten(0, -1).slice(0, 0, None, STRIDE);
        for (index, value) in Vec::<f32>::try_from(sampled).unwrap().into_iter().enumerate() {
            let expected = reference.next().unwrap();
            assert!((value - expected).abs() < 1e-5, "{height}x{width}, sample {index}: {value} {expected}");
        }
    }
    assert!(reference.next().is_none());
}
