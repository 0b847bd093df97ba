//! tokio-websockets on one thread.

use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use peers::{BROADCAST, MAX_MESSAGE};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_websockets::{Error, Limits, Message, ServerBuilder};

async fn serve(stream: TcpStream, publisher: broadcast::Sender<Message>) -> Result<(), Error> {
    let limits = Limits::default().max_payload_len(Some(MAX_MESSAGE));
    let (request, mut socket) = ServerBuilder::new().limits(limits).accept(stream).await?;
    if request.uri().path() != BROADCAST {
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
