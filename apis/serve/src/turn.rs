//! A request's turn: from its head until the last byte of its answer is taken or given up.
//!
//! Knows: when a turn begins and how it ends. Refuses to know: requests and answers.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use crate::crowd::Connection;

/// A request under way.
pub(crate) struct Turn {
    connection: Connection,
    complete: bool,
}

impl Turn {
    /// Of a request that has begun.
    pub(crate) fn new(connection: Connection) -> Turn {
        Turn { connection, complete: false }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.connection.end(!self.complete);
    }
}

/// An answer's body, which ends the turn.
pub(crate) struct Taken<B> {
    body: B,
    turn: Turn,
}

impl<B: Body> Taken<B> {
    pub(crate) fn new(body: B, mut turn: Turn) -> Taken<B> {
        turn.complete = body.is_end_stream();
        Taken { body, turn }
    }
}

impl<B: Body + Unpin> Body for Taken<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.turn.complete = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
