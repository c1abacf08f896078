//! Distributed training on libtorch's c10d, with Gloo between CPUs and NCCL between GPUs.
//!
//! All processes of a group make the same calls in the same order. If one process ends, the next call of each other
//! process fails with Gloo. With NCCL a call only queues work on the GPU; libtorch's watchdog aborts the process (SIGABRT)
//! when the work has waited for the timeout, unless a launcher ends it before.

#![allow(unsafe_code)] // Calls of the shim.

use std::env;
use std::ffi::{CString, NulError};
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tch::{Device, Kind, TchError, Tensor};
use torch_sys::C_tensor;
use vidtok_core::{Launch, ProcessGroup, Rendezvous};

use crate::shim;

/// How long a process waits for the others. A process that ends is noticed at once; the timeout is for one that hangs,
/// and must allow for work that one process does while the others wait, such as a validation.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// PyTorch's variable for the network interface.
const INTERFACE: &str = "GLOO_SOCKET_IFNAME";

/// Whether this process has connected to a group, or is connecting. Each collective looks its group up in a map of all
/// groups of the process (`FlightRecorder::all_pg_status_`), and the first collective of a group extends the map
/// without a lock: groups on two threads crash now and then.
static CONNECTED: AtomicBool = AtomicBool::new(false);

/// An error in work that several processes share.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessGroupError {
    /// The launcher did not set the rendezvous address.
    #[error("distributed training needs MASTER_ADDR and MASTER_PORT, as torchrun sets them")]
    NoRendezvous,
    /// The process is or was connected to a group.
    #[error("this process has already been connected to a group, and a second group may crash libtorch")]
    Connected,
    /// A name contains a zero byte.
    #[error("the address {text:?} contains a zero byte")]
    Address {
        /// The name.
        text: String,
        /// The position of the byte.
        source: NulError,
    },
    /// The process could not connect to the others.
    #[error("process {rank} of {world_size} could not connect to the others at {address}:{port}: {message}")]
    Connect {
        /// The rank of this process.
        rank: usize,
        /// The number of processes.
        world_size: usize,
        /// The host of process 0.
        address: String,
        /// The port of process 0.
        port: u16,
        /// libtorch's message.
        message: String,
    },
    /// A collective failed because another process is gone.
    #[error("process {rank} of {world_size} has lost the others: {message}")]
    Lost {
        /// The rank of this process.
        rank: usize,
        /// The number of processes.
        world_size: usize,
        /// libtorch's message.
        message: String,
    },
    /// Shared work failed for another reason.
    #[error("process {rank} of {world_size} has failed: {message}")]
    Failed {
        /// The rank of this process.
        rank: usize,
        /// The number of processes.
        world_size: usize,
        /// What failed.
        message: String,
    },
}

/// A group of processes, seen from one of them.
#[derive(Debug)]
pub struct C10dProcessGroup {
    handle: NonNull<shim::ProcessGroup>,
    rank: usize,
    world_size: usize,
    device: Device,
}

impl C10dProcessGroup {
    /// Connects to the other launched processes, which all compute on this kind of device. A process can connect once.
    ///
    /// # Errors
    /// If the launcher set no address, the processes do not connect within half an hour, or this process has connected
    /// before.
    pub fn connect(launch: &Launch, device: Device) -> Result<Rc<Self>, ProcessGroupError> {
        let &Launch { rank, world_size, ref rendezvous, .. } = launch;
        let Rendezvous { address, port, launcher_serves } =
            rendezvous.as_ref().ok_or(ProcessGroupError::NoRendezvous)?;
        let text = |text: &str| {
            CString::new(text).map_err(|source| ProcessGroupError::Address { text: text.to_owned(), source })
        };
        // A launcher's store outlives its processes, so the keys of each attempt differ.
        let prefix = launcher_serves.map_or_else(String::new, |restarts| format!("attempt_{restarts}"));
        let (host, prefix) = (text(address)?, text(&format!("vidtok{prefix}"))?);
        let interface = text(&env::var(INTERFACE).unwrap_or_default())?;
        let at = shim::Rendezvous {
            address: host.as_ptr(),
            port: *port,
            serves: rank == 0 && launcher_serves.is_none(),
            prefix: prefix.as_ptr(),
            interface: interface.as_ptr(),
        };
        let failed = |message: String| ProcessGroupError::Connect {
            rank,
            world_size,
            address: address.clone(),
            port: *port,
            message,
        };
        let [small_rank, small_count] = [rank, world_size].map(i32::try_from);
        let (Ok(small_rank), Ok(small_count)) = (small_rank, small_count) else {
            return Err(failed("too many processes".to_owned()));
        };
        if CONNECTED.swap(true, Ordering::Relaxed) {
            return Err(ProcessGroupError::Connected);
        }
        let cuda = matches!(device, Device::Cuda(_));
        let mut handle = null_mut();
        let timeout = TIMEOUT.as_millis() as u64;
        // SAFETY: the strings live during the call, and `handle` can hold a pointer.
        let status = unsafe {
            shim::vidtok_process_group_connect(&raw const at, small_rank, small_count, timeout, cuda, &raw mut handle)
        };
        if let Err(error) = shim::check(status) {
            // There was no collective, so the group is not in the map.
            CONNECTED.store(false, Ordering::Relaxed);
            return Err(failed(first_line(&error)));
        }
        let handle = NonNull::new(handle).ok_or_else(|| failed("libtorch returned no group".to_owned()))?;
        Ok(Rc::new(Self { handle, rank, world_size, device }))
    }

    /// Overwrites `x` in all processes with that of process 0. It must have the same shape and kind everywhere.
    ///
    /// # Errors
    /// If another process is gone.
    pub fn broadcast(&self, x: &Tensor) -> Result<(), ProcessGroupError> {
        // SAFETY: group and tensor live during the call.
        let status = unsafe { shim::vidtok_broadcast(self.handle.as_ptr(), x.as_ptr()) };
        self.check(status)
    }

    /// Returns the bytes of process 0 in all processes. The arguments of the others are ignored.
    ///
    /// # Errors
    /// If another process is gone.
    pub fn broadcast_bytes(&self, bytes: &[u8]) -> Result<Vec<u8>, ProcessGroupError> {
        let length = Tensor::from_slice(&[bytes.len() as i64]).to_device(self.device);
        self.broadcast(&length)?;
        let length = usize::try_from(length.int64_value(&[0])).unwrap_or(0);
        let sent = match self.rank {
            0 => Tensor::from_slice(bytes),
            _ => Tensor::zeros([length as i64], (Kind::Uint8, Device::Cpu)),
        }
        .to_device(self.device);
        if length > 0 {
            self.broadcast(&sent)?;
        }
        let mut received = vec![0; length];
        sent.to_device(Device::Cpu).copy_data_u8(&mut received, length);
        Ok(received)
    }

    /// Like [`ProcessGroup::mean`], but returns an error instead of panicking.
    ///
    /// # Errors
    /// If another process is gone.
    pub fn try_mean(&self, x: &Tensor) -> Result<Tensor, ProcessGroupError> {
        self.mean_of_all(x).map_err(|error| self.failed(&first_line(&error)))
    }

    fn mean_of_all(&self, x: &Tensor) -> Result<Tensor, TchError> {
        // CPU tensors take the transport of the device, too.
        let (home, x) = (x.device(), x.to_device(self.device));
        let mut mean = null_mut();
        // SAFETY: group and tensor live during the call, and `mean` can hold a pointer.
        let status = unsafe { shim::vidtok_mean_over_processes(self.handle.as_ptr(), x.as_ptr(), &raw mut mean) };
        shim::check(status)?;
        if mean.is_null() {
            return Err(TchError::Torch("c10d returned no mean".to_owned()));
        }
        // SAFETY: a pointer that is not null is a tensor that C++ made for us.
        Ok(unsafe { Tensor::from_ptr(mean) }.to_device(home))
    }

    /// The error for shared work that failed with this message.
    #[must_use]
    pub fn failed(&self, message: &str) -> ProcessGroupError {
        let (rank, world_size) = (self.rank, self.world_size);
        let message = message.lines().next().unwrap_or(message).to_owned();
        // Messages of lost connections name the source file of their transport.
        match ["gloo", "NCCL", "c10d"].iter().any(|transport| message.contains(transport)) {
            true => ProcessGroupError::Lost { rank, world_size, message },
            false => ProcessGroupError::Failed { rank, world_size, message },
        }
    }

    fn check(&self, status: shim::Status) -> Result<(), ProcessGroupError> {
        shim::check(status).map_err(|error| self.failed(&first_line(&error)))
    }
}

impl ProcessGroup for C10dProcessGroup {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.world_size
    }

    fn mean(&self, x: &Tensor) -> Tensor {
        self.mean_of_all(x).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for C10dProcessGroup {
    fn drop(&mut self) {
        // SAFETY: the group was made for us and is released once. Reducers keep it alive.
        unsafe { shim::vidtok_process_group_release(self.handle.as_ptr()) }
    }
}

/// Averages gradients over the processes of a group during the backward pass (arXiv 2006.15704): in buckets, each as
/// soon as its last gradient is ready.
#[derive(Debug)]
pub struct GradientReducer {
    handle: NonNull<shim::GradientReducer>,
    group: Rc<C10dProcessGroup>,
}

impl GradientReducer {
    /// Creates a reducer of the gradients of `parameters`, which must have the same order and shapes in all processes.
    /// Every announced pass must use all of them.
    ///
    /// # Errors
    /// If the parameters differ between processes, or another process is gone.
    pub fn new<'a>(
        group: &Rc<C10dProcessGroup>,
        parameters: impl IntoIterator<Item = &'a Tensor>,
    ) -> Result<Self, ProcessGroupError> {
        let all: Vec<Tensor> = parameters.into_iter().map(Tensor::shallow_clone).collect();
        let pointers: Vec<*const C_tensor> = all.iter().map(Tensor::as_ptr).collect();
        let mut handle = null_mut();
        // SAFETY: group and tensors live during the call, and libtorch takes handles of its own.
        let status = unsafe {
            shim::vidtok_gradient_reducer_new(group.handle.as_ptr(), pointers.as_ptr(), pointers.len(), &raw mut handle)
        };
        group.check(status)?;
        let handle = NonNull::new(handle).ok_or_else(|| group.failed("libtorch returned no reducer"))?;
        Ok(Self { handle, group: Rc::clone(group) })
    }

    /// Announces the last backward pass of a step, at whose end the accumulated gradients are averaged. Passes that are
    /// not announced add to this process's gradients only. Gradients are views of the reducer's buckets, so clear them
    /// by setting them to zero in place.
    ///
    /// # Errors
    /// If another process is gone, or the last announced pass left out a parameter.
    pub fn prepare(&self) -> Result<(), ProcessGroupError> {
        // SAFETY: the reducer lives as long as `self`.
        let status = unsafe { shim::vidtok_gradient_reducer_prepare(self.handle.as_ptr()) };
        self.group.check(status)
    }
}

impl Drop for GradientReducer {
    fn drop(&mut self) {
        // SAFETY: the reducer was made for us and is released once, before its group.
        unsafe { shim::vidtok_gradient_reducer_release(self.handle.as_ptr()) }
    }
}

/// libtorch's message without the trace of its functions.
fn first_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}
