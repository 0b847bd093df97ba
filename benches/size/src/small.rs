//! The same server for a host with little memory.

fn main() -> std::io::Result<()> {
    lariat::Server::new(lariat::Config::small())?
        .listen("127.0.0.1:9998")?
        .on_message(|clients, id, message| {
            let _ = clients.send(id, message);
        })
        .run()
}
