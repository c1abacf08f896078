//! Processes that train together. Here they are threads, each with a group of its own: they share nothing else.

#![allow(clippy::unwrap_used)]

use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use vidtok_core::{Launch, Peers};
use vidtok_torch::{GradientReducer, ProcessGroup, ProcessGroupError};

/// Runs `body` as each of `count` processes; gives what they give, in order.
fn processes<T: Send>(count: usize, body: impl Fn(&Rc<ProcessGroup>) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let start = |launch: Launch| {
            let body = &body;
            scope.spawn(move || body(&ProcessGroup::connect(&launch, Device::Cpu).unwrap()))
        };
        let started: Vec<_> = Launch::locals(count).unwrap().into_iter().map(start).collect();
        started.into_iter().map(|process| process.join().unwrap()).collect()
    })
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

#[test]
fn all_know_their_place_and_get_what_the_first_one_has() {
    let all = processes(3, |group| {
        let x = Tensor::full([2, 2], group.rank() as f64 + 5.0, (Kind::Float, Device::Cpu));
        group.broadcast(&x).unwrap();
        let bytes = [&b"first"[..], b"", b"others are not looked at"][group.rank()];
        (group.rank(), group.count(), numbers(&x), group.broadcast_bytes(bytes).unwrap())
    });
    for (rank, found) in all.into_iter().enumerate() {
        assert_eq!(found, (rank, 3, vec![5.0; 4], b"first".to_vec()));
    }
}

#[test]
fn the_mean_and_its_gradient_are_those_of_one_process_with_everything() {
    // The loss is the mean over processes of (r + 1) * m^2, with m = (2 x_0 + 2 x_1 + 2 x_2) / 3.
    let all = processes(3, |group| {
        let x = Tensor::from(group.rank() as f64).set_requires_grad(true);
        let mean = group.mean(&(&x * 2.0));
        let loss = mean.square() * (group.rank() as f64 + 1.0);
        loss.backward();
        (mean.double_value(&[]), x.grad().double_value(&[]))
    });
    // By hand: m = 2, and each x gets 2/3 of the sum of 2 (r + 1) m, of which the mean over losses takes a third.
    for (mean, gradient) in all {
        assert_eq!(mean, 2.0);
        let of_the_mean_loss = gradient / 3.0;
        assert!((of_the_mean_loss - 2.0 / 3.0 * 2.0 * 2.0 * 6.0 / 3.0).abs() < 1e-12, "{gradient}");
    }
}

#[test]
fn announced_gradients_are_averaged_and_others_stay_with_their_process() {
    let all = processes(2, |group| {
        let parameters: Vec<Tensor> =
            (0..5).map(|i| Tensor::ones([i + 1, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true)).collect();
        let reducer = GradientReducer::new(group, &parameters).unwrap();
        let own = group.rank() as f64 + 1.0;
        let backward = || {
            let loss: Tensor = parameters.iter().map(|parameter| parameter.sum(Kind::Float) * own).sum();
            loss.backward();
        };
        let mut found = Vec::new();
        // Buckets are built anew after the first.
        for _ in 0..3 {
            // In place, as gradients are views of the reducer's buckets.
            parameters.iter().filter(|parameter| parameter.grad().defined()).for_each(|parameter| {
                let _ = parameter.grad().zero_();
            });
            backward();
            found.push(parameters[4].grad().double_value(&[0, 0]));
            reducer.prepare().unwrap();
            backward();
            found.push(parameters[4].grad().double_value(&[4, 2]));
        }
        found
    });
    for (rank, found) in all.into_iter().enumerate() {
        // Two passes, of 1 and of 2: the mean of 2 and 4.
        assert_eq!(found, [rank as f64 + 1.0, 3.0].repeat(3));
    }
}

#[test]
fn an_announced_pass_that_leaves_out_a_parameter_is_told_by_the_next_announcement() {
    let all = processes(2, |group| {
        let parameters = [(); 2].map(|()| Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true));
        let reducer = GradientReducer::new(group, &parameters).unwrap();
        for _ in 0..2 {
            reducer.prepare().unwrap();
            (&parameters[0] * &parameters[1]).sum(Kind::Float).backward();
        }
        reducer.prepare().unwrap();
        parameters[0].sum(Kind::Float).backward();
        reducer.prepare().map_err(|error| error.to_string())
    });
    for (rank, told) in all.into_iter().enumerate() {
        let told = told.unwrap_err();
        assert!(told.contains(&format!("process {rank} of 2 has failed")) && told.lines().count() == 1, "{told}");
    }
}

#[test]
fn parameters_that_differ_between_processes_are_refused() {
    let all = processes(2, |group| {
        let parameter = Tensor::ones([2 + group.rank() as i64], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        GradientReducer::new(group, [&parameter]).map(|_| ()).map_err(|error| error.to_string())
    });
    assert!(all.iter().any(Result::is_err), "{all:?}");
}

#[test]
fn a_process_that_is_gone_is_an_error_for_the_others_at_once() {
    let start = Instant::now();
    let all = processes(3, |group| {
        let x = Tensor::ones([4], (Kind::Float, Device::Cpu));
        group.broadcast(&x).unwrap();
        if group.rank() == 1 {
            return None;
        }
        group.broadcast_bytes(b"still here?").err()
    });
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert!(all[1].is_none());
    for rank in [0, 2] {
        match all[rank].as_ref() {
            Some(error @ ProcessGroupError::Lost { .. }) => {
                let text = error.to_string();
                assert!(text.contains(&format!("process {rank} of 3")) && text.lines().count() == 1, "{text}");
            }
            other => panic!("{rank}: {other:?}"),
        }
    }
}

#[test]
fn a_launcher_that_does_not_say_where_to_meet_is_told() {
    let launch = Launch { rank: 0, count: 2, local_rank: 0, rendezvous: None };
    let error = ProcessGroup::connect(&launch, Device::Cpu).unwrap_err();
    assert!(matches!(error, ProcessGroupError::NoRendezvous), "{error}");
}
