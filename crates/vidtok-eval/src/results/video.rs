//! Metrics over many videos, in memory that does not grow with them.

use std::collections::BTreeMap;

use vidtok_metrics::{CodebookUse, Fvd, Gaussian, I3d, Seam, frechet_distance};

use crate::run::metric_set::{Measures, MetricKind};

/// What was measured of videos together: means over all their frames.
#[derive(Debug, Default)]
pub struct Measured {
    means: BTreeMap<MetricKind, Mean>,
    borders: Mean,
    /// Features of FVD: of the videos, and as they came back.
    sides: [Gaussian; 2],
    codes: CodebookUse,
}

/// Sum and count.
#[derive(Clone, Copy, Debug, Default)]
struct Mean(f64, usize);

impl Mean {
    /// In order, so that the sum depends on nothing else.
    fn add(&mut self, values: &[f64]) {
        for value in values {
            self.0 += value;
        }
        self.1 += values.len();
    }

    fn value(self) -> Option<f64> {
        (self.1 > 0).then(|| self.0 / self.1 as f64)
    }
}

impl Measured {
    /// Takes a video.
    pub fn add(&mut self, video: &Measures) {
        for (&kind, values) in &video.series {
            self.means.entry(kind).or_default().add(values);
        }
        self.borders.add(&video.borders);
        if let Some(features) = &video.features {
            self.sides.iter_mut().zip(features).for_each(|(side, features)| side.update(features));
        }
        self.codes.merge(&video.codes);
    }

    /// A metric over all that came; `None` if that is too little for it.
    #[must_use]
    pub fn value(&self, kind: MetricKind) -> Option<f64> {
        let mean = |kind| self.means.get(&kind).copied().and_then(Mean::value);
        match kind {
            MetricKind::Fvd => frechet_distance(&self.sides[0], &self.sides[1]),
            MetricKind::Seam => Some(Seam::ratio(self.borders.value()?, mean(MetricKind::Flicker)?)),
            _ => mean(kind),
        }
    }

    /// What a metric would need to have a value.
    #[must_use]
    pub fn lacks(&self, kind: MetricKind) -> String {
        match kind {
            MetricKind::Fvd => too_few_windows(self.samples()),
            MetricKind::Seam => "expected a video of more than one window".to_owned(),
            MetricKind::Flicker => "expected a video of more than one frame".to_owned(),
            _ => "expected a video".to_owned(),
        }
    }

    /// Windows that FVD has seen.
    #[must_use]
    pub fn samples(&self) -> i64 {
        self.sides[0].count()
    }

    /// The codes that came.
    #[must_use]
    pub fn codes(&self) -> &CodebookUse {
        &self.codes
    }
}

/// That FVD needs more than the windows that it has seen.
pub(crate) fn too_few_windows(found: i64) -> String {
    let (windows, frames) = (Fvd::MIN_CLIPS, I3d::MIN_FRAMES);
    format!("expected at least {windows} windows of {frames} frames or more, found {found}")
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn fvd_of_a_single_window_has_no_value_and_says_what_it_needs() {
        let mut all = Measured::default();
        for found in 0..2 {
            assert_eq!(all.value(MetricKind::Fvd), None);
            assert_eq!(
                all.lacks(MetricKind::Fvd),
                format!("expected at least 2 windows of 9 frames or more, found {found}")
            );
            let logits = || Tensor::randn([1, I3d::CLASSES], (Kind::Float, Device::Cpu));
            all.add(&Measures { features: Some([logits(), logits()]), ..Measures::default() });
        }
        assert!(all.value(MetricKind::Fvd).is_some_and(|distance| distance > 0.0));
    }
}
