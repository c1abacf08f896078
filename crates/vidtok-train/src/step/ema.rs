//! Exponential moving averages of the weights, as the published trainer keeps them (`model_ema.*`).

use std::collections::BTreeMap;

use tch::Tensor;
use vidtok_torch::Parameters;

/// The averages of a model's parameters.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    updates: u64,
    averages: BTreeMap<String, Tensor>,
}

impl Ema {
    /// Starts at the parameters.
    #[must_use]
    pub fn new(decay: f64, parameters: &Parameters) -> Self {
        let averages = parameters.iter().map(|(name, parameter)| (name.to_owned(), parameter.detach().copy()));
        Self { decay, updates: 0, averages: averages.collect() }
    }

    /// Moves the averages towards the parameters, with the decay min(decay, (1 + n) / (10 + n)) at the n-th update.
    pub fn update(&mut self, parameters: &Parameters) {
        self.updates += 1;
        let n = self.updates as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        tch::no_grad(|| {
            for (name, parameter) in parameters.iter() {
                if let Some(average) = self.averages.get_mut(name) {
                    let _ = average.lerp_(parameter, 1.0 - decay);
                }
            }
        });
    }

    /// How often the averages were moved.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Goes on as if the averages had been moved so often.
    pub fn set_updates(&mut self, updates: u64) {
        self.updates = updates;
    }

    /// Names of parameters with their averages.
    pub fn averages(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.averages.iter().map(|(name, average)| (name.as_str(), average))
    }

    /// Goes on with saved averages.
    ///
    /// # Errors
    /// The first name whose average is missing or of another shape.
    pub fn restore(&mut self, average: impl Fn(&str) -> Option<Tensor>) -> Result<(), String> {
        for (name, own) in &mut self.averages {
            match average(name) {
                Some(saved) if saved.size() == own.size() => own.copy_(&saved),
                _ => return Err(name.clone()),
            }
        }
        Ok(())
    }

    /// Runs `work` with the averages in the place of the parameters, which come back however it ends.
    pub fn with_averages<T>(&self, parameters: &Parameters, work: impl FnOnce() -> T) -> T {
        let _own = Own::of(parameters);
        for (name, parameter) in parameters.iter() {
            if let Some(average) = self.averages.get(name) {
                set(parameter, average);
            }
        }
        work()
    }
}

/// The values of parameters, which are put back when this is dropped: libtorch's functions panic where they fail.
struct Own<'a>(Vec<(&'a Tensor, Tensor)>);

impl<'a> Own<'a> {
    fn of(parameters: &'a Parameters) -> Self {
        Self(parameters.iter().map(|(_, parameter)| (parameter, parameter.detach().copy())).collect())
    }
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        for (parameter, own) in &self.0 {
            set(parameter, own);
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
    fn the_parameters_come_back_after_a_look_with_the_averages() {
        let (parameters, mut a) = parameters();
        let ema = Ema::new(0.999, &parameters);
        let _ = a.fill_(5.0);
        let seen = ema.with_averages(&parameters, || a.double_value(&[0]));
        assert_eq!((seen, a.double_value(&[0])), (0.0, 5.0));
    }

    #[test]
    fn the_parameters_come_back_after_a_look_that_failed_or_panicked() {
        let (parameters, mut a) = parameters();
        let ema = Ema::new(0.999, &parameters);
        let _ = a.fill_(5.0);
        let failed: Result<(), f64> = ema.with_averages(&parameters, || Err(a.double_value(&[0])));
        assert_eq!((failed, a.double_value(&[0])), (Err(0.0), 5.0));
        let look = || ema.with_averages(&parameters, || drop(Tensor::from(1.0).matmul(&a)));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(look)).is_err(), "a scalar has no product");
        assert_eq!(a.double_value(&[0]), 5.0);
    }
}
