//! Processes that train together, on libtorch's own c10d: Gloo between CPUs, NCCL between GPUs.
//!
//! All processes of a group make the same calls in the same order. When one of them is gone, the next call of each of
//! the others fails.

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

/// How long a process waits for the others. One that has ended is noticed at once; this is for one that hangs, and for
/// what one process does while the others wait for it, such as a validation.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The name of the network interface to use, as PyTorch has it.
const INTERFACE: &str = "GLOO_SOCKET_IFNAME";

/// Whether this process has met others, or is about to. libtorch looks a group up at each of its collectives in a map of
/// all groups of the process (`FlightRecorder::all_pg_status_`), which the first collective of a group extends without a
/// lock: with groups on two threads it crashes now and then.
static CONNECTED: AtomicBool = AtomicBool::new(false);

/// What can go wrong between processes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessGroupError {
    /// The launcher did not say where the processes meet.
    #[error("processes that train together need MASTER_ADDR and MASTER_PORT, as torchrun sets them")]
    NoRendezvous,
    /// The process has met others before.
    #[error("this process has met others before, and a second group may crash libtorch")]
    Connected,
    /// A name for libtorch has a zero in it.
    #[error("the address {text:?} has a zero byte in it")]
    Address {
        /// The name.
        text: String,
        /// Where.
        source: NulError,
    },
    /// The processes have not met.
    #[error("process {rank} of {world_size} did not meet the others at {address}:{port}: {message}")]
    Connect {
        /// This process.
        rank: usize,
        /// All.
        world_size: usize,
        /// Host of process 0.
        address: String,
        /// Its port.
        port: u16,
        /// What libtorch says.
        message: String,
    },
    /// A call that all processes make has failed.
    #[error("process {rank} of {world_size} has lost the others: {message}")]
    Lost {
        /// This process.
        rank: usize,
        /// All.
        world_size: usize,
        /// What libtorch says.
        message: String,
    },
    /// Something else has failed in work that all processes share.
    #[error("process {rank} of {world_size} has failed: {message}")]
    Failed {
        /// This process.
        rank: usize,
        /// All.
        world_size: usize,
        /// What has failed.
        message: String,
    },
}

/// This process among those of a group.
#[derive(Debug)]
pub struct C10dProcessGroup {
    handle: NonNull<shim::ProcessGroup>,
    rank: usize,
    world_size: usize,
    device: Device,
}

impl C10dProcessGroup {
    /// Meets the other processes that were launched, where all compute on this kind of device. A process does so once.
    ///
    /// # Errors
    /// If the launcher did not say where, they do not meet within half an hour, or the process has met others before.
    pub fn connect(launch: &Launch, device: Device) -> Result<Rc<Self>, ProcessGroupError> {
        let &Launch { rank, world_size, ref rendezvous, .. } = launch;
        let Rendezvous { address, port, launcher_serves } =
            rendezvous.as_ref().ok_or(ProcessGroupError::NoRendezvous)?;
        let text = |text: &str| {
            CString::new(text).map_err(|source| ProcessGroupError::Address { text: text.to_owned(), source })
        };
        // A launcher's store outlives its processes; keys of those before must not be met again.
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
        let timeout = PATIENCE.as_millis() as u64;
        // SAFETY: the strings live during the call, and `handle` is a place for a pointer.
        let status = unsafe {
            shim::vidtok_process_group_connect(&raw const at, small_rank, small_count, timeout, cuda, &raw mut handle)
        };
        if let Err(error) = shim::check(status) {
            // Without a collective the group is not in the map.
            CONNECTED.store(false, Ordering::Relaxed);
            return Err(failed(first_line(&error)));
        }
        let handle = NonNull::new(handle).ok_or_else(|| failed("libtorch gave no group".to_owned()))?;
        Ok(Rc::new(Self { handle, rank, world_size, device }))
    }

    /// Gives all processes the first one's `x`, in place; it has the same shape and kind everywhere.
    ///
    /// # Errors
    /// If another process is gone.
    pub fn broadcast(&self, x: &Tensor) -> Result<(), ProcessGroupError> {
        // SAFETY: group and tensor live during the call.
        let status = unsafe { shim::vidtok_broadcast(self.handle.as_ptr(), x.as_ptr()) };
        self.check(status)
    }

    /// Gives all processes the first one's bytes; what the others hand in is not looked at.
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

    /// [`ProcessGroup::mean`] between passes, where it need not panic.
    ///
    /// # Errors
    /// If another process is gone.
    pub fn try_mean(&self, x: &Tensor) -> Result<Tensor, ProcessGroupError> {
        self.mean_of_all(x).map_err(|error| self.failed(&first_line(&error)))
    }

    fn mean_of_all(&self, x: &Tensor) -> Result<Tensor, TchError> {
        // What is on the CPU goes by the device too, where that has another transport.
        let (home, x) = (x.device(), x.to_device(self.device));
        let mut mean = null_mut();
        // SAFETY: group and tensor live during the call, and `mean` is a place for a pointer.
        let status = unsafe { shim::vidtok_mean_over_processes(self.handle.as_ptr(), x.as_ptr(), &raw mut mean) };
        shim::check(status)?;
        if mean.is_null() {
            return Err(TchError::Torch("c10d gave no mean".to_owned()));
        }
        // SAFETY: what is not null is a tensor that C++ made for us.
        Ok(unsafe { Tensor::from_ptr(mean) }.to_device(home))
    }

    /// The error of shared work that has failed with this message.
    #[must_use]
    pub fn failed(&self, message: &str) -> ProcessGroupError {
        let (rank, world_size) = (self.rank, self.world_size);
        let message = message.lines().next().unwrap_or(message).to_owned();
        // libtorch's messages begin with the file that they come from.
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
        // SAFETY: the group was made for us and is released once; reducers keep it alive.
        unsafe { shim::vidtok_process_group_release(self.handle.as_ptr()) }
    }
}

/// Averages gradients over the processes of a group while a backward pass goes on (arXiv 2006.15704): in buckets, each
/// as soon as its last gradient is there.
#[derive(Debug)]
pub struct GradientReducer {
    handle: NonNull<shim::GradientReducer>,
    group: Rc<C10dProcessGroup>,
}

impl GradientReducer {
    /// For parameters that all processes have in the same order and shapes, and of which every step that is announced
    /// uses all.
    ///
    /// # Errors
    /// If they are not the same everywhere, or another process is gone.
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
        let handle = NonNull::new(handle).ok_or_else(|| group.failed("libtorch gave no reducer"))?;
        Ok(Self { handle, group: Rc::clone(group) })
    }

    /// The next backward pass is the step's last: what the gradients have become by its end is averaged. Passes that are
    /// not announced add to this process's gradients only. Gradients lie in the reducer's buckets: to clear them, set
    /// them to zero in place.
    ///
    /// # Errors
    /// If another process is gone, or the last announced pass has left out a parameter.
    pub fn prepare(&self) -> Result<(), ProcessGroupError> {
        // SAFETY: the reducer lives as long as we do.
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

/// What libtorch says, without the trace of its own functions.
fn first_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}
