//! Where does a conversation stand?

/// Where a conversation stands; the picture is at the head of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The opening handshake's head is still arriving.
    Handshaking,
    /// The application has the request and has not answered yet.
    Deciding,
    /// Messages flow.
    Open,
    /// We have sent Close and wait for the peer's.
    Closing,
    /// All is said: what we still have to send is sent, then our half is closed, then we wait for
    /// the peer's FIN.
    Draining,
    /// The peer's FIN has come; what we still have to send is sent.
    Flushing,
    /// The end.
    Closed,
}

/// The `readyState` that a browser would show for this side (the WebSocket API's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// 0: the opening handshake has not ended.
    Connecting = 0,
    /// 1: messages can be sent.
    Open = 1,
    /// 2: the closing handshake has begun.
    Closing = 2,
    /// 3: the conversation is over.
    Closed = 3,
}

impl State {
    /// In the WebSocket API's words.
    pub const fn ready_state(self) -> ReadyState {
        match self {
            State::Handshaking | State::Deciding => ReadyState::Connecting,
            State::Open => ReadyState::Open,
            State::Closing | State::Draining | State::Flushing => ReadyState::Closing,
            State::Closed => ReadyState::Closed,
        }
    }
}
