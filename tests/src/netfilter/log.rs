//! Reads packets that an nftables `log group` statement hands to user space.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

const ULOG: u16 = 4;
const PACKET: u16 = ULOG << 8;
const CONFIG: u16 = ULOG << 8 | 1;
const NLMSG_ERROR: u16 = 2;
const REQUEST_WITH_ACKNOWLEDGEMENT: u16 = 1 | 4;
const ATTRIBUTE_PAYLOAD: u16 = 9;
/// How long a packet may be on its way before the test gives up.
const PATIENCE_SECONDS: i64 = 10;

/// A subscription to one log group of the network namespace it was made in.
#[derive(Debug)]
pub(super) struct PacketLog {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl PacketLog {
    pub(super) fn subscribe(group: u16) -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(
            &socket,
            sockopt::ReceiveTimeout,
            &TimeVal::seconds(PATIENCE_SECONDS),
        )?;
        setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))?;
        let mut log = Self {
            socket,
            buffer: vec![0; 1 << 16],
        };
        const COMMAND: u16 = 1;
        const MODE: u16 = 2;
        const THRESHOLD: u16 = 5;
        log.configure(group, COMMAND, &[1])?;
        let copy_whole_packet = [0, 0, 0xff, 0xff, 2, 0];
        log.configure(group, MODE, &copy_whole_packet)?;
        log.configure(group, THRESHOLD, &1_u32.to_be_bytes())?;
        Ok(log)
    }

    fn configure(&mut self, group: u16, attribute: u16, value: &[u8]) -> io::Result<()> {
        let mut message = Vec::with_capacity(32);
        let attribute_length = 4 + value.len();
        let padded = attribute_length.next_multiple_of(4);
        message.extend_from_slice(&(20 + padded as u32).to_ne_bytes());
        message.extend_from_slice(&CONFIG.to_ne_bytes());
        message.extend_from_slice(&REQUEST_WITH_ACKNOWLEDGEMENT.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&[0, 0]);
        message.extend_from_slice(&group.to_be_bytes());
        message.extend_from_slice(&(attribute_length as u16).to_ne_bytes());
        message.extend_from_slice(&attribute.to_ne_bytes());
        message.extend_from_slice(value);
        message.resize(20 + padded, 0);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        let answer = &self.buffer[..length];
        let code = i32::from_ne_bytes(answer[16..20].try_into().map_err(io::Error::other)?);
        if kind(answer) == NLMSG_ERROR && code != 0 {
            return Err(io::Error::from_raw_os_error(-code));
        }
        Ok(())
    }

    /// Waits for packets and hands each to `seen` from its IP header on, until
    /// `seen` says that it was the last.
    pub(super) fn read(&mut self, mut seen: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            let mut rest = &self.buffer[..length];
            let mut last = false;
            while rest.len() >= 16 {
                let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
                let length = length.clamp(16, rest.len());
                let (message, after) = rest.split_at(length);
                if kind(message) == PACKET {
                    last |= payload(&message[16..]).is_some_and(&mut seen);
                }
                rest = after
                    .get(length.next_multiple_of(4) - length..)
                    .unwrap_or_default();
            }
            if last {
                return Ok(());
            }
        }
    }
}

fn kind(message: &[u8]) -> u16 {
    u16::from_ne_bytes([message[4], message[5]])
}

fn payload(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body.get(4..)?;
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]])).max(4);
        let attribute = u16::from_ne_bytes([rest[2], rest[3]]) & 0x3fff;
        if attribute == ATTRIBUTE_PAYLOAD {
            return rest.get(4..length);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}
