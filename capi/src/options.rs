//! Options, and what is wrong with them, by their names in C.

use crate::abi::lariat_option::{self, *};
use crate::boundary::{Failure, Outcome};
use crate::host::HostServer;
use lariat::{Config, Deflate, Reserve};
use std::ffi::c_int;
use std::time::Duration;

/// The names in Rust, and those in C. A name that begins with another one comes first.
const NAMES: [(&str, &str); 23] = [
    ("Config::least_memory_budget()", "what the other options need"),
    ("max_connections_per_address", "LARIAT_MAX_PER_ADDRESS"),
    ("max_connections", "LARIAT_MAX_CONNECTIONS"),
    ("memory_budget", "LARIAT_MEMORY_BUDGET"),
    ("limits.max_message", "LARIAT_MAX_MESSAGE"),
    ("limits.max_unsent", "LARIAT_MAX_UNSENT"),
    ("limits.max_head", "LARIAT_MAX_HEAD"),
    ("limits.high_water", "LARIAT_HIGH_WATER"),
    ("read_buffer", "LARIAT_READ_BUFFER"),
    ("limits.ping_interval", "LARIAT_PING_INTERVAL"),
    ("limits.idle_timeout", "LARIAT_IDLE_TIMEOUT"),
    ("limits.handshake_timeout", "LARIAT_HANDSHAKE_TIMEOUT"),
    ("limits.close_timeout", "LARIAT_CLOSE_TIMEOUT"),
    ("limits.write_timeout", "LARIAT_WRITE_TIMEOUT"),
    ("deflate must be None with a reserve", "LARIAT_DEFLATE must be 0 with LARIAT_RESERVE"),
    ("deflate", "LARIAT_DEFLATE"),
    ("remote_queue", "LARIAT_MAX_POSTED"),
    ("accepts_per_turn", "LARIAT_ACCEPTS_PER_TURN"),
    ("events_per_turn", "LARIAT_EVENTS_PER_TURN"),
    ("reserve.connections", "LARIAT_RESERVE"),
    ("reserve.timers", "LARIAT_RESERVED_TIMERS"),
    ("reserve.topics_per_client", "LARIAT_RESERVED_TOPICS"),
    ("reserve", "LARIAT_RESERVE"),
];

/// Makes a server with options.
pub(crate) fn server(config: &Config) -> Outcome<HostServer> {
    if let Err(error) = config.validate() {
        let text = error.to_string();
        // The name of the field comes first.
        let field = text.strip_prefix("Config::").unwrap_or(&text);
        let known = NAMES.iter().find(|(rust, _)| field.starts_with(rust));
        let mut text = known.map_or(field.to_owned(), |(rust, c)| field.replacen(rust, c, 1));
        for (rust, c) in NAMES.iter().filter(|(rust, _)| rust.contains(['.', '('])) {
            text = text.replace(rust, c);
        }
        if text.starts_with("LARIAT_MEMORY_BUDGET") {
            text = format!("{text} (at least {} bytes)", config.least_memory_budget());
        }
        return Err(Failure::invalid(text));
    }
    Ok(HostServer::new(config.clone())?)
}

fn switch(value: u64) -> Outcome<bool> {
    if value > 1 { Err(Failure::invalid(format!("{value} is neither 0 nor 1"))) } else { Ok(value == 1) }
}

/// Sets an option.
pub(crate) fn set(config: &mut Config, option: c_int, value: u64) -> Outcome {
    let is = |known: lariat_option| option == known as c_int;
    let size = usize::try_from(value).map_err(|_| Failure::invalid(format!("{value} is too much for this host")));
    let small = u32::try_from(value).map_err(|_| Failure::invalid(format!("{value} is more than {}", u32::MAX)));
    let time = Duration::from_millis(value);
    let perhaps = (value > 0).then_some(time);
    let limits = &mut config.limits;
    if is(LARIAT_MAX_CONNECTIONS) {
        config.max_connections = Some(size?).filter(|&most| most > 0);
    } else if is(LARIAT_MAX_PER_ADDRESS) {
        config.max_connections_per_address = Some(small?).filter(|&most| most > 0);
    } else if is(LARIAT_MEMORY_BUDGET) {
        config.memory_budget = size?;
    } else if is(LARIAT_MAX_MESSAGE) {
        limits.max_message = size?;
    } else if is(LARIAT_MAX_UNSENT) {
        limits.max_unsent = size?;
    } else if is(LARIAT_HIGH_WATER) {
        limits.high_water = size?;
    } else if is(LARIAT_READ_BUFFER) {
        config.read_buffer = size?;
    } else if is(LARIAT_PING_INTERVAL) {
        limits.ping_interval = perhaps;
    } else if is(LARIAT_IDLE_TIMEOUT) {
        limits.idle_timeout = perhaps;
    } else if is(LARIAT_HANDSHAKE_TIMEOUT) {
        limits.handshake_timeout = time;
    } else if is(LARIAT_CLOSE_TIMEOUT) {
        limits.close_timeout = time;
    } else if is(LARIAT_WRITE_TIMEOUT) {
        limits.write_timeout = perhaps;
    } else if is(LARIAT_DEFLATE) {
        config.deflate = switch(value)?.then(Deflate::default);
    } else if is(LARIAT_MAX_POSTED) {
        config.remote_queue = size?;
    } else if is(LARIAT_MAX_HEAD) {
        limits.max_head = size?;
    } else if is(LARIAT_ACCEPTS_PER_TURN) {
        config.accepts_per_turn = size?;
    } else if is(LARIAT_EVENTS_PER_TURN) {
        config.events_per_turn = size?;
    } else if is(LARIAT_SMALL) {
        *config = if switch(value)? { Config::small() } else { Config::default() };
    } else {
        return set_reserve(config, option, size?);
    }
    Ok(())
}

/// Sets an option of the memory that is reserved.
fn set_reserve(config: &mut Config, option: c_int, size: usize) -> Outcome {
    let is = |known: lariat_option| option == known as c_int;
    // If only the others are set, lariat_listen says that LARIAT_RESERVE is missing.
    let mut reserve = config.reserve.clone().unwrap_or_else(|| Reserve::new(0));
    // No host can set timers of a client.
    reserve.timers_per_client = 0;
    if is(LARIAT_RESERVE) {
        reserve.connections = size;
    } else if is(LARIAT_RESERVED_TIMERS) {
        reserve.timers = size;
    } else if is(LARIAT_RESERVED_TOPICS) {
        reserve.topics_per_client = size;
    } else {
        return Err(Failure::invalid(format!("there is no option {option}")));
    }
    config.reserve = if is(LARIAT_RESERVE) && size == 0 { None } else { Some(reserve) };
    Ok(())
}
