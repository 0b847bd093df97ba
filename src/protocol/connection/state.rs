//! The states of a connection.

/// The state of a connection. The picture is at the head of `machine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The opening handshake's head is still arriving.
    Handshaking,
    /// The application has the request and has not answered yet.
    Deciding,
    /// Messages are exchanged.
    Open,
    /// We have sent Close and wait for the peer's.
    Closing,
    /// The connection is ending: the unsent bytes are sent, then our half of the stream is closed,
    /// then we wait for the peer's FIN.
    Draining,
    /// The peer's FIN has arrived. The unsent bytes are sent.
    Flushing,
    /// An HTTP response is being sent. After it, the connection waits for another request, or, if
    /// the response is streamed, it closes.
    Responding,
    /// The connection has ended.
    Closed,
}

/// The `readyState` of the WebSocket API, for our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// 0: the opening handshake has not ended.
    Connecting = 0,
    /// 1: messages can be sent.
    Open = 1,
    /// 2: the closing handshake has begun.
    Closing = 2,
    /// 3: the connection has ended.
    Closed = 3,
}

impl State {
    /// Returns the state in the terms of the WebSocket API.
    pub const fn ready_state(self) -> ReadyState {
        match self {
            State::Handshaking | State::Deciding | State::Responding => ReadyState::Connecting,
            State::Open => ReadyState::Open,
            State::Closing | State::Draining | State::Flushing => ReadyState::Closing,
            State::Closed => ReadyState::Closed,
        }
    }
}
