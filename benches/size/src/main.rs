fn main() -> std::io::Result<()> {
    lariat::Server::bind("127.0.0.1:9998")?
        .on_message(|clients, id, message| {
            let _ = clients.send(id, message);
        })
        .run()
}
