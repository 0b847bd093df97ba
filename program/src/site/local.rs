//! Whether a request comes from this host: who may hold the loop.

use lariat::http::uri::{Authority, Uri};
use lariat::{ClientId, Clients, Request};

/// Returns whether a request comes from this host: the connection does, no proxy has forwarded it,
/// and the page has a loopback name as its origin. The last check refuses pages of other sites
/// whose name points to this host.
pub(super) fn is_local(clients: &Clients<()>, id: ClientId, request: &Request<'_>) -> bool {
    let is_loopback = |text: &str| {
        let host = text.parse::<Authority>().ok().map(|authority| authority.host().to_ascii_lowercase());
        host.is_some_and(|host| matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]"))
    };
    let addresses = [clients.direct_addr(id), clients.peer_addr(id)];
    let comes_from_here = addresses.iter().all(|addr| addr.is_some_and(|addr| addr.ip().to_canonical().is_loopback()));
    let is_forwarded = ["forwarded", "x-forwarded-for", "via"].iter().any(|name| request.values(name).next().is_some());
    let origin = request.origin().and_then(|origin| origin.parse::<Uri>().ok()?.into_parts().authority);
    let origin_is_here = origin.is_some_and(|origin| is_loopback(origin.as_str()));
    comes_from_here && !is_forwarded && origin_is_here && request.host().is_some_and(is_loopback)
}
