//! Servers that send literal bytes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// Starts a server. Each connection has a thread, which ends with it. Returns the URL.
pub fn literal(serve: impl Fn(&mut BufReader<TcpStream>) -> std::io::Result<()> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            // The client may have disconnected.
            std::thread::spawn(move || serve(&mut BufReader::new(stream)));
        }
    });
    url
}

/// Reads a request and accepts the upgrade.
pub fn upgrade(stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    let (mut line, mut key) = (String::new(), String::new());
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.strip_prefix("Sec-WebSocket-Key: ") {
            value.trim().clone_into(&mut key);
        }
    }
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let head =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
    send(stream, format!("{head}{accept}\r\n\r\n").as_bytes())
}

/// Reads a short frame of the client. Returns its first byte and its payload.
pub fn frame(stream: &mut BufReader<TcpStream>) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 6];
    stream.read_exact(&mut head)?;
    let [first, length, mask @ ..] = head;
    assert!((0x80..0x80 + 126).contains(&length), "a short frame with a mask");
    let mut payload = vec![0; usize::from(length & 0x7f)];
    stream.read_exact(&mut payload)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((first, payload))
}

pub fn send(stream: &mut BufReader<TcpStream>, bytes: &[u8]) -> std::io::Result<()> {
    stream.get_mut().write_all(bytes)
}

/// Reads to the end, and writes nothing.
pub fn listen(stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    std::io::copy(stream, &mut std::io::sink()).map(|_| ())
}
