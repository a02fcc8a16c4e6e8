//! Making an encoder of a visitor.

/// Implements `Visitor` by handing everything to the first field.
macro_rules! forward_to_first_field {
    ($encoder:ty) => {
        impl openmessaging_connector::Visitor for $encoder {
            #[inline]
            fn scalar(&mut self, value: openmessaging_connector::Scalar<'_>) {
                self.0.scalar(value);
            }

            #[inline]
            fn begin_struct(&mut self, schema: &std::sync::Arc<openmessaging_connector::Schema>) {
                self.0.begin_struct(schema);
            }

            #[inline]
            fn end_struct(&mut self) {
                self.0.end_struct();
            }

            fn begin_array(&mut self, length: usize) {
                self.0.begin_array(length);
            }

            fn end_array(&mut self) {
                self.0.end_array();
            }

            fn begin_map(&mut self, length: usize) {
                self.0.begin_map(length);
            }

            fn end_map(&mut self) {
                self.0.end_map();
            }
        }
    };
}

pub(super) use forward_to_first_field;
