pub fn charset_of_collation(_id: u16) -> Option<&'static str> {
    Some("utf8mb4")
}
