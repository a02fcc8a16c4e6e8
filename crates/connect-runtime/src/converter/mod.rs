pub fn register(_registry: &mut openmessaging_connector::Registry) {}
