//! What stands for the worker on platforms without socket pairs: nothing runs.

use super::experiment::Experiment;
use crate::clock::Clock;
use lariat::{Adopted, ClientId, Remote};
use std::io;

/// No experiments.
#[derive(Debug)]
pub(crate) enum Lab {}

/// No end of a connection.
#[derive(Debug)]
pub(crate) enum OwnEnd {}

impl Lab {
    pub(crate) fn start(_: Remote<()>) -> io::Result<Lab> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn connection() -> io::Result<(OwnEnd, Adopted)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn run(&self, _: ClientId, own: OwnEnd, _: Experiment, _: Clock) -> io::Result<()> {
        match own {}
    }
}
