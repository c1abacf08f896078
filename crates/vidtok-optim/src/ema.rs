//! Exponential moving averages of the weights, as in the published trainer (`model_ema.*`).

use std::collections::BTreeMap;

use tch::Tensor;
use vidtok_torch::{Parameters, lerp_many};

/// The averages of a model's parameters.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    updates: u64,
    averages: BTreeMap<String, Tensor>,
}

impl Ema {
    /// Averages that start at the current parameters; `decay` is the largest decay, in [0, 1).
    #[must_use]
    pub fn new(decay: f64, parameters: &Parameters) -> Self {
        let averages = parameters.iter().map(|(name, parameter)| (name.to_owned(), parameter.detach().copy()));
        Self { decay, updates: 0, averages: averages.collect() }
    }

    /// Moves the averages towards the parameters. The decay of the n-th update is min(decay, (1 + n) / (10 + n)).
    pub fn update(&mut self, parameters: &Parameters) {
        self.updates += 1;
        let n = self.updates as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        let pairs = parameters.iter().filter_map(|(name, parameter)| Some((self.averages.get(name)?, parameter)));
        let pairs = pairs.map(|(average, parameter)| (average.shallow_clone(), parameter.shallow_clone()));
        let (averages, parameters): (Vec<_>, Vec<_>) = pairs.unzip();
        lerp_many(&averages, &parameters, 1.0 - decay);
    }

    /// The number of updates.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Sets the number of updates, to continue from a saved state.
    pub fn set_updates(&mut self, updates: u64) {
        self.updates = updates;
    }

    /// The averages by the names of their parameters.
    pub fn averages(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.averages.iter().map(|(name, average)| (name.as_str(), average))
    }

    /// Restores saved averages.
    ///
    /// # Errors
    /// The name of the first average that is missing or has another shape.
    pub fn restore(&mut self, average: impl Fn(&str) -> Option<Tensor>) -> Result<(), String> {
        for (name, own) in &mut self.averages {
            match average(name) {
                Some(saved) if saved.size() == own.size() => own.copy_(&saved),
                _ => return Err(name.clone()),
            }
        }
        Ok(())
    }

    /// Runs `work` with the averages in place of the parameters, which are restored afterwards even if it panics.
    pub fn with_averages<T>(&self, parameters: &Parameters, work: impl FnOnce() -> T) -> T {
        let _restored = Restored::new(parameters);
        for (name, parameter) in parameters.iter() {
            if let Some(average) = self.averages.get(name) {
                set(parameter, average);
            }
        }
        work()
    }
}

/// Restores the values of parameters when it is dropped. A panic must not skip that: libtorch's functions panic on failure.
struct Restored<'a>(Vec<(&'a Tensor, Tensor)>);

impl<'a> Restored<'a> {
    fn new(parameters: &'a Parameters) -> Self {
        Self(parameters.iter().map(|(_, parameter)| (parameter, parameter.detach().copy())).collect())
    }
}

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        for (parameter, value) in &self.0 {
            set(parameter, value);
        }
    }
}

fn set(parameter: &Tensor, value: &Tensor) {
    tch::no_grad(|| parameter.shallow_clone().copy_(value));
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_torch::{Init, ParamPath};

    use super::*;

    fn parameters() -> (Parameters, Tensor) {
        let root = ParamPath::fresh(Device::Cpu);
        let a = root.get("a", &[1], Init::Constant(0.0));
        (root.finish().unwrap(), a)
    }

    #[test]
    fn the_decay_rises_with_the_updates_up_to_its_limit() {
        let (parameters, mut a) = parameters();
        let mut ema = Ema::new(0.2, &parameters);
        let _ = a.fill_(1.0);
        let mut expected = 0.0;
        for n in 1..=3 {
            ema.update(&parameters);
            let decay = f64::min(0.2, (1.0 + f64::from(n)) / (10.0 + f64::from(n)));
            expected += (1.0 - decay) * (1.0 - expected);
            let average = ema.averages().next().unwrap().1.double_value(&[0]);
            assert!((average - expected).abs() < 1e-6, "{n}: {average}");
        }
    }

    #[test]
    fn parameters_are_restored_after_work_with_the_averages() {
        let (parameters, mut a) = parameters();
        let ema = Ema::new(0.999, &parameters);
        let _ = a.fill_(5.0);
        let seen = ema.with_averages(&parameters, || a.double_value(&[0]));
        assert_eq!((seen, a.double_value(&[0])), (0.0, 5.0));
    }

    #[test]
    fn parameters_are_restored_after_work_that_fails_or_panics() {
        let (parameters, mut a) = parameters();
        let ema = Ema::new(0.999, &parameters);
        let _ = a.fill_(5.0);
        let failed: Result<(), f64> = ema.with_averages(&parameters, || Err(a.double_value(&[0])));
        assert_eq!((failed, a.double_value(&[0])), (Err(0.0), 5.0));
        let panicking = || ema.with_averages(&parameters, || drop(Tensor::from(1.0).matmul(&a)));
        assert!(
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err(),
            "a scalar has no matrix product"
        );
        assert_eq!(a.double_value(&[0]), 5.0);
    }
}
