//! tokio-tungstenite on one thread, with the small read buffer that its documentation recommends
//! for many connections.

use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use peers::BROADCAST;
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

async fn serve(stream: TcpStream, publisher: broadcast::Sender<Message>) -> Result<(), Error> {
    let config = WebSocketConfig::default().read_buffer_size(4 << 10);
    let mut is_broadcast = false;
    #[expect(clippy::result_large_err, reason = "tungstenite's signature")]
    let note_path = |request: &Request, response: Response| {
        is_broadcast = request.uri().path() == BROADCAST;
        Ok(response)
    };
    let mut socket = accept_hdr_async_with_config(stream, note_path, Some(config)).await?;
    if !is_broadcast {
        let (sink, stream) = socket.split();
        return stream.try_filter(|message| future::ready(is_data(message))).forward(sink).await;
    }
    let mut published = publisher.subscribe();
    loop {
        tokio::select! {
            message = socket.next() => match message.transpose()? {
                Some(message) if is_data(&message) => drop(publisher.send(message)),
                Some(_) => {}
                None => return Ok(()),
            },
            Ok(message) = published.recv() => socket.send(message).await?,
        }
    }
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

fn main() -> std::io::Result<()> {
    let (runtime, listener) = peers::tokio_listen()?;
    let publisher = broadcast::Sender::new(1_024);
    runtime.block_on(async {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve(stream, publisher.clone()));
        }
    })
}
