//! Which process of a group this one is: the contract of torchrun, which wrappers for SLURM and MPI can fill in too.

use std::env;
use std::io;
use std::net::{TcpListener, TcpStream};

use crate::distributed::process_group::WorldRank;

/// What the environment says of this process's place among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// This process's number among all, from 0 (`RANK`).
    pub rank: usize,
    /// How many there are (`WORLD_SIZE`).
    pub world_size: usize,
    /// Its number among those of its machine (`LOCAL_RANK`), which chooses its GPU.
    pub local_rank: usize,
    /// Where they meet, for those that talk to each other.
    pub rendezvous: Option<Rendezvous>,
}

/// Where processes find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    /// Host of process 0 (`MASTER_ADDR`).
    pub address: String,
    /// A free port there (`MASTER_PORT`).
    pub port: u16,
    /// Set where the launcher itself answers at that port (`TORCHELASTIC_USE_AGENT_STORE`), with the number of times
    /// that it has started all processes anew.
    pub launcher_serves: Option<u64>,
}

/// The environment makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaunchError {
    /// A variable that others need is missing.
    #[error("{present} is set and {missing} is not; processes are started with RANK and WORLD_SIZE, as torchrun does")]
    Missing {
        /// The variable that is there.
        present: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A variable is no number, or too large a one.
    #[error("{name} is {value:?}; needed is {needed}")]
    Value {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        needed: String,
    },
}

const RANK: &str = "RANK";
const WORLD_SIZE: &str = "WORLD_SIZE";
const LOCAL_RANK: &str = "LOCAL_RANK";
const MASTER_ADDR: &str = "MASTER_ADDR";
const MASTER_PORT: &str = "MASTER_PORT";
const AGENT_STORE: &str = "TORCHELASTIC_USE_AGENT_STORE";
const RESTART_COUNT: &str = "TORCHELASTIC_RESTART_COUNT";

impl Launch {
    /// What the environment says; none if it says nothing of other processes.
    ///
    /// # Errors
    /// If it says half of it, or nonsense.
    pub fn from_env() -> Result<Option<Self>, LaunchError> {
        Self::from_variables(|name| env::var(name).ok())
    }

    /// The places of `world_size` processes on this machine, whose process 0 will listen at a port that is free now and for
    /// the next minute.
    ///
    /// # Errors
    /// If the machine has no free port, or does not let itself be reached at it.
    pub fn locals(world_size: usize) -> io::Result<Vec<Self>> {
        let port = reserved_port()?;
        let rendezvous = Rendezvous { address: "127.0.0.1".to_owned(), port, launcher_serves: None };
        let place = |rank| Self { rank, world_size, local_rank: rank, rendezvous: Some(rendezvous.clone()) };
        Ok((0..world_size).map(place).collect())
    }

    /// Which part of what all share is this process's.
    #[must_use]
    pub fn share(&self) -> WorldRank {
        WorldRank { rank: self.rank, world_size: self.world_size }
    }

    /// What [`from_env`](Self::from_env) reads, to start a process with; every variable is set, also where it says nothing.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            (RANK, self.rank.to_string()),
            (WORLD_SIZE, self.world_size.to_string()),
            (LOCAL_RANK, self.local_rank.to_string()),
        ];
        if let Some(Rendezvous { address, port, launcher_serves }) = &self.rendezvous {
            all.extend([(MASTER_ADDR, address.clone()), (MASTER_PORT, port.to_string())]);
            let serves = if launcher_serves.is_some() { "True" } else { "False" };
            let restarts = launcher_serves.unwrap_or(0).to_string();
            all.extend([(AGENT_STORE, serves.to_owned()), (RESTART_COUNT, restarts)]);
        }
        all
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, LaunchError> {
        let number = |name: &'static str, below: usize, needed: &str| match variable(name) {
            None => Ok(None),
            Some(value) => match value.parse() {
                Ok(number) if number < below => Ok(Some(number)),
                _ => Err(LaunchError::Value { name, value, needed: needed.to_owned() }),
            },
        };
        let world_size = number(WORLD_SIZE, usize::MAX, "the number of processes")?;
        let rank = number(RANK, world_size.unwrap_or(usize::MAX), "a number below WORLD_SIZE")?;
        let (rank, world_size) = match (rank, world_size) {
            (Some(rank), Some(world_size)) => (rank, world_size),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(LaunchError::Missing { present: RANK, missing: WORLD_SIZE }),
            (None, Some(_)) => return Err(LaunchError::Missing { present: WORLD_SIZE, missing: RANK }),
        };
        let local_rank = number(LOCAL_RANK, usize::MAX, "a number")?.unwrap_or(0);
        let port = number(MASTER_PORT, 1 << 16, "a port")?.and_then(|port| u16::try_from(port).ok());
        let rendezvous = match (variable(MASTER_ADDR), port) {
            (Some(address), Some(port)) => {
                let serves = variable(AGENT_STORE).is_some_and(|value| value == "True");
                let restarts = number(RESTART_COUNT, usize::MAX, "a number")?.unwrap_or(0) as u64;
                Some(Rendezvous { address, port, launcher_serves: serves.then_some(restarts) })
            }
            (None, None) => None,
            (Some(_), None) => return Err(LaunchError::Missing { present: MASTER_ADDR, missing: MASTER_PORT }),
            (None, Some(_)) => return Err(LaunchError::Missing { present: MASTER_PORT, missing: MASTER_ADDR }),
        };
        Ok(Some(Self { rank, world_size, local_rank, rendezvous }))
    }
}

/// A port of this address that the system gives to nobody else for a minute.
///
/// That is what it does with one whose last connection the server has closed first (TIME_WAIT). Who asks for it by its
/// number gets it if both his socket and that server's have SO_REUSEADDR, as the standard library's and libtorch's do.
fn reserved_port() -> io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let client = TcpStream::connect(address)?;
    drop(listener.accept()?);
    drop(client);
    Ok(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Launch>, LaunchError> {
        let found = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_string());
        Launch::from_variables(found)
    }

    #[test]
    fn a_process_without_variables_is_on_its_own() {
        assert_eq!(read(&[("MASTER_PORT", "29500"), ("MASTER_ADDR", "host")]), Ok(None));
    }

    #[test]
    fn what_is_given_to_a_process_is_what_it_reads() {
        let mut launch = Launch::locals(3).unwrap().swap_remove(1);
        for serves in [None, Some(2)] {
            launch.rendezvous.as_mut().unwrap().launcher_serves = serves;
            let variables = launch.variables();
            let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(read(&variables), Ok(Some(launch.clone())));
        }
    }

    #[test]
    fn no_port_is_given_twice() {
        let mut ports: Vec<u16> = (0..1000).map(|_| reserved_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 1000);
    }

    #[test]
    fn half_of_it_and_nonsense_are_named() {
        let wrong: [(&[(&str, &str)], &str); 6] = [
            (&[("RANK", "0")], "WORLD_SIZE is not"),
            (&[("WORLD_SIZE", "2")], "RANK is not"),
            (&[("RANK", "2"), ("WORLD_SIZE", "2")], "below WORLD_SIZE"),
            (&[("RANK", "-1"), ("WORLD_SIZE", "2")], "\"-1\""),
            (&[("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a")], "MASTER_PORT is not"),
            (&[("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "65536")], "a port"),
        ];
        for (variables, telling) in wrong {
            let error = read(variables).unwrap_err().to_string();
            assert!(error.contains(telling), "{error}");
        }
    }
}
