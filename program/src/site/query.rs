//! What does a request's query say?

/// The values of a query's parameter: `1` and `2` of `a=1&b&a=2`, for `a`.
pub(super) fn parameter<'q>(query: Option<&'q str>, name: &'q str) -> impl Iterator<Item = &'q str> {
    let pairs = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}
