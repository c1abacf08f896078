//! The programs that are measured.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::workspace::Workspace;

/// The example in `benches` that measures ours.
pub(crate) const OURS: [&str; 5] = ["--release", "--package", "vidtok-benches", "--example", "peer"];
/// Threads that wait by spinning, as they do where nothing is set. (.cargo/config.toml is for tests beside each other.)
const THREADS: [(&str, &str); 1] = [("OMP_WAIT_POLICY", "active")];

/// What ours is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// microsoft/VidTok.
    Reference,
    /// The same with its networks under `torch.compile`.
    Compiled,
    /// The VidTok of Hugging Face's diffusers.
    Diffusers,
}

impl Peer {
    /// Of its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Compiled => "compiled",
            Self::Diffusers => "diffusers",
        }
    }

    /// The script that measures it, and what it is told beside the case.
    fn script(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Reference => ("benches/peer/reference.py", &[]),
            Self::Compiled => ("benches/peer/reference.py", &["--compile"]),
            Self::Diffusers => ("benches/peer/hugging_face.py", &[]),
        }
    }
}

/// How the programs are started.
pub(crate) struct Start<'a> {
    pub(crate) workspace: &'a Workspace,
    /// For the peers.
    pub(crate) python: &'a Path,
    /// The clone of the reference.
    pub(crate) reference: &'a Path,
    pub(crate) work: &'a str,
    /// What all are told.
    pub(crate) case: &'a [OsString],
}

impl Start<'_> {
    pub(crate) fn ours(&self) -> Command {
        let mut command = self.workspace.cargo();
        command.args(["run", "--quiet"]).args(OURS).args(["--", self.work]).args(self.case).envs(THREADS);
        command
    }

    pub(crate) fn peer(&self, peer: Peer) -> Command {
        let (script, options) = peer.script();
        let mut command = Command::new(self.python);
        // Leaves no compiled files in the clone or beside the script.
        command.args(["-B", "-W", "ignore"]).arg(self.workspace.root().join(script)).arg(self.work);
        command.arg("--reference").arg(self.reference).args(self.case).args(options).envs(THREADS);
        command
    }
}
