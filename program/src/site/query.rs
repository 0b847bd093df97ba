//! The parameters of a request's query.

/// Returns the values of a parameter: for `a`, `1` and `2` of `a=1&b&a=2`.
pub(super) fn parameter<'q>(query: Option<&'q str>, name: &'q str) -> impl Iterator<Item = &'q str> {
    let pairs = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}
