//! The plan of a run whose agents do the work. The plan of each worker is made on its own host.

use super::build::{asked, check};
use super::message::length;
use super::options::{Options, Usage};
use super::pace::{churn, mode, pace};
use super::targets::{is_local, look_up};
use super::texts::Texts;
use crate::load::measure::Asked;
use std::net::{SocketAddr, ToSocketAddrs};

/// What the host that leads agents knows of a run.
#[derive(Debug)]
pub(crate) struct SharedPlan {
    pub(crate) asked: Asked,
    /// The servers, if all of them are on this host.
    pub(crate) local_servers: Vec<SocketAddr>,
}

impl SharedPlan {
    /// Checks the options as far as this host can. It connects to no server, and need not know the
    /// names of the servers.
    pub(crate) fn new(options: &Options) -> Result<SharedPlan, Usage> {
        let addresses = options.urls.iter().map(|url| look_up(url)).collect::<Result<Vec<_>, _>>()?;
        let are_local =
            addresses.iter().all(|found| !found.is_empty() && found.iter().all(|one| is_here(*one, options)));
        let (mode, churn) = (mode(options), options.churn.as_deref().map(churn).transpose()?);
        length(options)?;
        check(options, mode, churn)?;
        if !options.source_ip.is_empty() {
            return Err(Usage("cannot combine --source-ip and --agents: each agent has its own addresses".to_owned()));
        }
        let texts = Texts::read(options, mode)?;
        Ok(SharedPlan {
            asked: asked(options, mode, pace(options, mode, texts.connections)?, &texts),
            local_servers: if are_local { addresses.into_iter().flatten().collect() } else { Vec::new() },
        })
    }
}

/// Returns whether a server is on this host. A loopback address means the host of each agent.
fn is_here(server: SocketAddr, options: &Options) -> bool {
    let addresses = |agent: &String| agent.to_socket_addrs().into_iter().flatten();
    let are_agents_here = || options.agents.iter().flat_map(addresses).all(is_local);
    is_local(server) && (!server.ip().is_loopback() || are_agents_here())
}
