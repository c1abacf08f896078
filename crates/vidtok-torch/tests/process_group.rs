//! Process groups. Each process is this test program again, started with the name of a single test.

#![allow(clippy::unwrap_used)]

use std::env;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use vidtok_core::{Launch, ProcessGroup};
use vidtok_torch::{C10dProcessGroup, GradientReducer, ProcessGroupError};

/// Processes that are killed when they are dropped, so that a failing test leaves none.
struct Started(Vec<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Starts `count` processes that each run the test of this name. In each of them this function runs `body`.
fn as_processes(count: usize, name: &str, body: impl FnOnce(&Rc<C10dProcessGroup>)) {
    if let Some(launch) = Launch::from_env().unwrap() {
        return body(&C10dProcessGroup::connect(&launch, Device::Cpu).unwrap());
    }
    let start = |launch: Launch| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", name]).envs(launch.variables()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut started = Started(Launch::locals(count).unwrap().into_iter().map(start).collect());
    // Checks processes in the order in which they end, because the others may wait for one that has failed.
    while !started.0.is_empty() {
        let Some(ended) = started.0.iter_mut().position(|process| process.try_wait().unwrap().is_some()) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let output = started.0.remove(ended).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

#[test]
fn processes_know_their_rank_and_receive_broadcasts() {
    as_processes(3, "processes_know_their_rank_and_receive_broadcasts", |group| {
        assert_eq!((group.rank().to_string(), group.world_size()), (env::var("RANK").unwrap(), 3));
        let x = Tensor::full([2, 2], group.rank() as f64 + 5.0, (Kind::Float, Device::Cpu));
        group.broadcast(&x).unwrap();
        assert_eq!(numbers(&x), [5.0; 4]);
        let bytes = [&b"first"[..], b"", b"others are ignored"][group.rank()];
        assert_eq!(group.broadcast_bytes(bytes).unwrap(), b"first");
    });
}

#[test]
fn the_mean_and_its_gradient_equal_those_of_a_single_process() {
    // The loss is the mean over processes of (r + 1) * m^2, with m = (2 x_0 + 2 x_1 + 2 x_2) / 3.
    as_processes(3, "the_mean_and_its_gradient_equal_those_of_a_single_process", |group| {
        let x = Tensor::from(group.rank() as f64).set_requires_grad(true);
        let mean = group.mean(&(&x * 2.0));
        let loss = mean.square() * (group.rank() as f64 + 1.0);
        loss.backward();
        // By hand: m = 2, and each x gets 2/3 of the sum of 2 (r + 1) m, of which the mean over losses takes a third.
        assert_eq!(mean.double_value(&[]), 2.0);
        let gradient = x.grad().double_value(&[]) / 3.0;
        assert!((gradient - 2.0 / 3.0 * 2.0 * 2.0 * 6.0 / 3.0).abs() < 1e-12, "{gradient}");
    });
}

#[test]
fn announced_gradients_are_averaged_and_others_are_not() {
    as_processes(2, "announced_gradients_are_averaged_and_others_are_not", |group| {
        let parameters: Vec<Tensor> =
            (0..5).map(|i| Tensor::ones([i + 1, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true)).collect();
        let reducer = GradientReducer::new(group, &parameters).unwrap();
        let own = group.rank() as f64 + 1.0;
        let backward = || {
            let loss: Tensor = parameters.iter().map(|parameter| parameter.sum(Kind::Float) * own).sum();
            loss.backward();
        };
        // The reducer rebuilds its buckets after the first step.
        for _ in 0..3 {
            // In place, because gradients are views of the reducer's buckets.
            parameters.iter().filter(|parameter| parameter.grad().defined()).for_each(|parameter| {
                let _ = parameter.grad().zero_();
            });
            backward();
            assert_eq!(parameters[4].grad().double_value(&[0, 0]), own);
            reducer.prepare().unwrap();
            backward();
            // Two passes with gradients of 1 and 2: the mean of 2 and 4.
            assert_eq!(parameters[4].grad().double_value(&[4, 2]), 3.0);
        }
    });
}

#[test]
fn an_announced_pass_that_leaves_out_a_parameter_fails_the_next_announcement() {
    as_processes(2, "an_announced_pass_that_leaves_out_a_parameter_fails_the_next_announcement", |group| {
        let parameters = [(); 2].map(|()| Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true));
        let reducer = GradientReducer::new(group, &parameters).unwrap();
        for _ in 0..2 {
            reducer.prepare().unwrap();
            (&parameters[0] * &parameters[1]).sum(Kind::Float).backward();
        }
        reducer.prepare().unwrap();
        parameters[0].sum(Kind::Float).backward();
        let message = reducer.prepare().unwrap_err().to_string();
        assert!(message.contains(&format!("process {} of 2 has failed", group.rank())), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    });
}

#[test]
fn parameters_that_differ_between_processes_are_an_error() {
    as_processes(2, "parameters_that_differ_between_processes_are_an_error", |group| {
        let parameter = Tensor::ones([2 + group.rank() as i64], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        // Parameters are compared with those of process 0.
        let error = GradientReducer::new(group, [&parameter]).err();
        match (group.rank(), error) {
            (0, None) => {}
            (1, Some(ProcessGroupError::Failed { message, .. })) => assert!(message.contains("sizes [3]"), "{message}"),
            (rank, error) => panic!("{rank}: {error:?}"),
        }
    });
}

#[test]
fn a_process_that_ends_is_an_error_for_the_others_at_once() {
    as_processes(3, "a_process_that_ends_is_an_error_for_the_others_at_once", |group| {
        let x = Tensor::ones([4], (Kind::Float, Device::Cpu));
        group.broadcast(&x).unwrap();
        if group.rank() == 1 {
            return;
        }
        let start = Instant::now();
        let error = group.broadcast_bytes(b"still here?").unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        assert!(matches!(error, ProcessGroupError::Lost { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("process {} of 3", group.rank())) && text.lines().count() == 1, "{text}");
    });
}

#[test]
fn a_launcher_without_a_rendezvous_address_is_an_error() {
    let launch = Launch { rank: 0, world_size: 2, local_rank: 0, rendezvous: None };
    let error = C10dProcessGroup::connect(&launch, Device::Cpu).unwrap_err();
    assert!(matches!(error, ProcessGroupError::NoRendezvous), "{error}");
}
