//! This process's rank, from the environment variables that torchrun sets. Wrappers for SLURM and MPI can set them too.

use std::env;
use std::io;
use std::net::{TcpListener, TcpStream};

use crate::distributed::process_group::WorldRank;

/// A process's rank and how to reach the others, as a launcher states them in environment variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Rank among all processes, from 0 (`RANK`).
    pub rank: usize,
    /// Number of processes (`WORLD_SIZE`).
    pub world_size: usize,
    /// Rank among the processes of this machine (`LOCAL_RANK`), which selects the GPU.
    pub local_rank: usize,
    /// Where processes that communicate meet.
    pub rendezvous: Option<Rendezvous>,
}

/// The address where processes find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    /// Host of process 0 (`MASTER_ADDR`).
    pub address: String,
    /// A free port of that host (`MASTER_PORT`).
    pub port: u16,
    /// Set if the launcher itself serves that port (`TORCHELASTIC_USE_AGENT_STORE`): how many times it has restarted all
    /// processes (`TORCHELASTIC_RESTART_COUNT`).
    pub launcher_serves: Option<u64>,
}

/// The launcher's environment variables are incomplete or invalid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaunchError {
    /// A variable is missing that another one requires.
    #[error("{present} is set and {missing} is not; set RANK and WORLD_SIZE for each process, as torchrun does")]
    Missing {
        /// The variable that is set.
        present: &'static str,
        /// The variable that is not.
        missing: &'static str,
    },
    /// A variable is not a number in its range.
    #[error("{name}: expected {expected}, found {value:?}")]
    Value {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// The values that it may have.
        expected: String,
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
    /// Reads the environment; `None` if neither RANK nor WORLD_SIZE is set.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn from_env() -> Result<Option<Self>, LaunchError> {
        Self::from_variables(|name| env::var(name).ok())
    }

    /// One launch for each of `world_size` processes on this machine. Process 0 is to listen at a port that stays reserved
    /// for about a minute.
    ///
    /// # Errors
    /// If the machine has no free port, or refuses a connection to it.
    pub fn locals(world_size: usize) -> io::Result<Vec<Self>> {
        let port = reserved_port()?;
        let rendezvous = Rendezvous { address: "127.0.0.1".to_owned(), port, launcher_serves: None };
        let launch = |rank| Self { rank, world_size, local_rank: rank, rendezvous: Some(rendezvous.clone()) };
        Ok((0..world_size).map(launch).collect())
    }

    /// This process's rank and the world size.
    #[must_use]
    pub fn world_rank(&self) -> WorldRank {
        WorldRank { rank: self.rank, world_size: self.world_size }
    }

    /// The variables to start this process with, which [`from_env`](Self::from_env) reads there. All are set, so that none
    /// is inherited.
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
        let number = |name: &'static str, below: usize, expected: &str| match variable(name) {
            None => Ok(None),
            Some(value) => match value.parse() {
                Ok(number) if number < below => Ok(Some(number)),
                _ => Err(LaunchError::Value { name, value, expected: expected.to_owned() }),
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

/// A local port that the system assigns to no other process for about a minute.
///
/// A port whose last connection was closed by the server first stays in TIME_WAIT, and the system does not hand it out
/// again. A process can still bind it by number if its socket and the earlier server's have SO_REUSEADDR, as those of
/// the standard library and of libtorch do.
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
    fn without_rank_and_world_size_there_is_no_launch() {
        assert_eq!(read(&[("MASTER_PORT", "29500"), ("MASTER_ADDR", "host")]), Ok(None));
    }

    #[test]
    fn a_launch_survives_its_environment_variables() {
        let mut launch = Launch::locals(3).unwrap().swap_remove(1);
        for serves in [None, Some(2)] {
            launch.rendezvous.as_mut().unwrap().launcher_serves = serves;
            let variables = launch.variables();
            let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(read(&variables), Ok(Some(launch.clone())));
        }
    }

    #[test]
    fn a_thousand_reserved_ports_are_all_different() {
        let mut ports: Vec<u16> = (0..1000).map(|_| reserved_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 1000);
    }

    #[test]
    fn missing_and_invalid_variables_are_errors_that_name_them() {
        let wrong: [(&[(&str, &str)], &str); 6] = [
            (&[("RANK", "0")], "WORLD_SIZE is not"),
            (&[("WORLD_SIZE", "2")], "RANK is not"),
            (&[("RANK", "2"), ("WORLD_SIZE", "2")], "below WORLD_SIZE"),
            (&[("RANK", "-1"), ("WORLD_SIZE", "2")], "\"-1\""),
            (&[("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a")], "MASTER_PORT is not"),
            (&[("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "65536")], "a port"),
        ];
        for (variables, part) in wrong {
            let error = read(variables).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
