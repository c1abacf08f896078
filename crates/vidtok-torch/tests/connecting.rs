//! Connecting to other processes. Alone in its process: children that other tests start would hold its port for a moment.
#![allow(clippy::unwrap_used)] // a failure here is what the test is for

use std::net::TcpListener;

use tch::Device;
use vidtok_core::Launch;
use vidtok_torch::{C10dProcessGroup, ProcessGroupError};

#[test]
fn a_process_can_connect_once() {
    let connect = |launch: &Launch| C10dProcessGroup::connect(launch, Device::Cpu);
    let alone = Launch::locals(1).unwrap().remove(0);
    let port = alone.rendezvous.as_ref().unwrap().port;
    let other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let error = connect(&alone).unwrap_err();
    assert!(matches!(error, ProcessGroupError::Connect { .. }), "{error}");
    drop(other);
    // The first attempt has connected to nothing.
    drop(connect(&alone).unwrap());
    let error = connect(&alone).unwrap_err();
    assert!(matches!(error, ProcessGroupError::Connected), "{error}");
}
