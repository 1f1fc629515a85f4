# SPDX-License-Identifier: Apache-2.0
"""A line to a target that does what it is told: changes what it carries, ends single connections,
takes no new ones, or takes them and says nothing."""

import socket
import threading
import time


class Line:
    """Carries connections to a port. change(data, to_target) gives what is carried instead."""

    def __init__(self, target_port, change=lambda data, _: data):
        self.target_port, self.change = target_port, change
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.deaf_until = 0  # new connections are ended at once before this time
        self.silent = False  # new connections are taken, and nothing is carried
        self.mute = []  # those that were taken so
        self.connections = []  # both ends of each, in the order they came
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, target):
        """Of the target's LUN, through this line."""
        return target.url.replace(f":{target.port}/", f":{self.port}/")

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if time.monotonic() < self.deaf_until:
                client.close()
                continue
            if self.silent:
                self.mute.append(client)
                continue
            try:
                target = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                client.close()
                continue
            self.connections.append((client, target))
            for ends in ((client, target, True), (target, client, False)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source, sink, to_target):
        try:
            while data := source.recv(1 << 20):
                sink.sendall(self.change(data, to_target))
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(source, sink)  # a reset of one side reaches the other

    @staticmethod
    def _end(*sockets):
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self, number):
        """Ends one connection."""
        self._end(*self.connections[number])

    def fall_silent(self):
        """Ends all connections, and takes new ones from now on as who hangs would."""
        self.silent = True
        for ends in self.connections:
            self._end(*ends)

    def speak(self):
        """Is as before."""
        self.silent = False
        while self.mute:
            self.mute.pop().close()

    def refuse(self):
        """Takes no more connections."""
        self._end(self.listener)
        self.listener.close()

    def close(self):
        self.refuse()
        self.speak()
        for ends in self.connections:
            self._end(*ends)
            for one in ends:
                one.close()


class PduLine(Line):
    """A line that looks at each PDU (RFC 7143 11.2) of a session without digests."""

    NOP_OUT, SCSI_COMMAND, NO_TASK = 0x00, 0x01, b"\xff" * 4
    SCSI_RESPONSE, DATA_IN, R2T, NOP_IN = 0x21, 0x25, 0x31, 0x20

    def pass_on(self, header, data, sink, first):
        """One of the target's. first: it came by the first of all connections."""
        sink.sendall(header + data)

    def pass_to_target(self, header, data, sink):
        sink.sendall(header + data)

    def is_answer(self, header):
        """Whether it ends a command."""
        kind = header[0] & 0x3F
        return kind == self.SCSI_RESPONSE or kind == self.DATA_IN and header[1] & 1

    def answer_instead(self, header, sink, status, sense):
        """In place of a PDU that ends a command."""
        sense = len(sense).to_bytes(2) + sense if sense else b""
        sink.sendall(bytes([self.SCSI_RESPONSE, 0x80, 0, status, 0]) + len(sense).to_bytes(3) +
                     bytes(8) + header[16:20] + bytes(4) + header[24:36] + bytes(12) + sense +
                     bytes(-len(sense) % 4))

    def _carry(self, source, sink, to_target):
        first = source is self.connections[0][1]
        try:
            with source.makefile("rb") as stream:
                while header := stream.read(48):
                    length = int.from_bytes(header[5:8]) + 3 & ~3
                    data = stream.read(4 * header[4] + length)
                    if to_target:
                        self.pass_to_target(header, data, sink)
                    else:
                        self.pass_on(header, data, sink, first)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(source, sink)  # a reset of one side reaches the other


class PingingLine(PduLine):
    """Pings the initiator (NOP-In, RFC 7143 11.19) behind the target's R2T of this number, and
    behind all that follow in the first connection; takes no new one for so many seconds then, or
    is silent."""

    def __init__(self, target_port, number, deaf_seconds=0, then_silent=False):
        self.left, self.deaf_seconds, self.then_silent = number, deaf_seconds, then_silent
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        sink.sendall(header + data)
        if header[0] & 0x3F != self.R2T or not first:
            return
        self.left -= 1
        if self.left > 0:
            return
        self.deaf_until = time.monotonic() + self.deaf_seconds
        self.silent = self.then_silent
        sink.sendall(bytes([self.NOP_IN, 0x80]) + bytes(6) + header[8:16] +
                     self.NO_TASK + bytes(4) + header[24:36] + bytes(12))


class AskingLine(PduLine):
    """Asks for a logout (Asynchronous Message, RFC 7143 11.9, event 1) before the target's answer of
    this number in the first connection; the answer does not come any more."""

    ASYNC_MESSAGE, LOGOUT_RESPONSE = 0x32, 0x26

    def __init__(self, target_port, number):
        self.left = number
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        self.left -= first and header[0] & 0x3F == self.SCSI_RESPONSE
        if not first or self.left > 0 or header[0] & 0x3F == self.LOGOUT_RESPONSE:
            sink.sendall(header + data)
        elif self.left == 0:
            self.left = -1
            no_task, event = b"\xff" * 4, bytes([1, 0, 0, 0, 0, 3, 0, 0])
            sink.sendall(bytes([self.ASYNC_MESSAGE, 0x80]) + bytes(14) + no_task + bytes(4) +
                         header[24:36] + event + bytes(4))


class HungLine(PduLine):
    """A target whose disk hangs from the answer of this number on: nothing is answered any more, but
    it goes on pinging, so often."""

    def __init__(self, target_port, number, seconds):
        self.left, self.seconds = number, seconds
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        if self.left > 0:
            kind = header[0] & 0x3F
            self.left -= kind == self.SCSI_RESPONSE or kind == self.DATA_IN and header[1] & 1
            sink.sendall(header + data)
        if self.left == 0:
            self.left = -1
            threading.Thread(target=self._ping, args=(header, sink), daemon=True).start()

    def _ping(self, header, sink):
        no_task, tag = b"\xff" * 4, bytes(4)
        try:
            while True:
                time.sleep(self.seconds)
                sink.sendall(bytes([self.NOP_IN, 0x80]) + bytes(6) + header[8:16] + no_task + tag +
                             header[24:36] + bytes(12))
        except OSError:
            pass


class WatchedLine(PduLine):
    """Pings the initiator five times a second, in its first connection, and counts the answers."""

    def __init__(self, target_port):
        self.answers = 0
        self.last = None  # the header of the target's that went by last
        self.sending = threading.Lock()
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        with self.sending:
            sink.sendall(header + data)
        if not first or header[0] & 0x3F not in (self.SCSI_RESPONSE, self.DATA_IN):
            return
        if self.last is None:
            threading.Thread(target=self._ping, args=(sink,), daemon=True).start()
        self.last = header

    def _ping(self, sink):
        try:
            while True:
                time.sleep(0.2)
                with self.sending:
                    sink.sendall(bytes([self.NOP_IN, 0x80]) + bytes(6) + self.last[8:16] +
                                 self.NO_TASK + bytes(4) + self.last[24:36] + bytes(12))
        except OSError:
            pass

    def pass_to_target(self, header, data, sink):
        if header[0] & 0x3F == self.NOP_OUT and header[16:20] == self.NO_TASK:
            self.answers += 1
        else:
            sink.sendall(header + data)


class FlushLine(PduLine):
    """Keeps each SYNCHRONIZE CACHE back until it may go on."""

    FLUSHES = (0x35, 0x91)

    def __init__(self, target_port):
        self.flushing, self.may_go_on = threading.Event(), threading.Event()
        super().__init__(target_port)

    def close(self):
        self.may_go_on.set()
        super().close()

    def pass_to_target(self, header, data, sink):
        if header[0] & 0x3F == self.SCSI_COMMAND and header[32] in self.FLUSHES:
            self.flushing.set()
            self.may_go_on.wait()
        sink.sendall(header + data)


class RefusingLine(PduLine):
    """Answers in the target's place: of so many commands one gets this status and these sense data,
    though it has gone well; what it has read is lost."""

    def __init__(self, target_port, each, status, sense=b""):
        self.each, self.status, self.sense = each, status, sense
        self.refused = 0
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        kind, status, tag = header[0] & 0x3F, header[3], header[16:20]
        answers = self.is_answer(header)
        if (kind not in (self.SCSI_RESPONSE, self.DATA_IN) or answers and status
                or int.from_bytes(tag) % self.each != 0):
            sink.sendall(header + data)
        elif answers:
            self.refused += 1
            self.answer_instead(header, sink, self.status, self.sense)


class UnreadableLine(PduLine):
    """Ends every command that has read these bytes with MEDIUM ERROR, 11/00."""

    SENSE = bytes([0x70, 0, 0x03, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0]) + bytes(4)

    def __init__(self, target_port, unreadable):
        self.unreadable = unreadable
        self.tags = set()
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        tag = header[16:20]
        if header[0] & 0x3F == self.DATA_IN and self.unreadable in data:
            self.tags.add(tag)
        if tag not in self.tags:
            sink.sendall(header + data)
        elif self.is_answer(header):
            self.tags.remove(tag)
            self.answer_instead(header, sink, 0x02, self.SENSE)


class LyingLine(PduLine):
    """Changes the answers to GET LBA STATUS (SBC-4 5.9.2): the second descriptor begins one block
    late."""

    def __init__(self, target_port):
        self.lies = 0
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        told = int.from_bytes(data[:4]) + 4
        if header[0] & 0x3F == self.DATA_IN and 40 <= told <= len(data) and told % 16 == 8:
            self.lies += 1
            late = int.from_bytes(data[24:32]) + 1
            data = data[:24] + late.to_bytes(8) + data[32:]
        sink.sendall(header + data)


class ShortLine(PduLine):
    """Keeps back a part of what a READ(16) of each so many commands gives, and has it end with GOOD
    and no residual. part: "tail" (the end of the last PDU), "hole" (in the midst of a PDU), or
    "all"."""

    READ_16 = 0x88

    def __init__(self, target_port, each, part):
        self.each, self.part = each, part
        self.tags = {}  # of commands that are cut: PDUs seen
        self.lock = threading.Lock()
        self.count = self.kept = 0
        super().__init__(target_port)

    @staticmethod
    def cut(header, data, sink):
        """Sends the begin of a PDU, and gives back its end without what is between."""
        offset = int.from_bytes(header[40:44])
        sink.sendall(header[:1] + bytes([header[1] & ~0x81]) + header[2:5] + (1024).to_bytes(3) +
                     header[8:] + data[:1024])
        rest = data[2048:]
        return (header[:5] + len(rest).to_bytes(3) + header[8:40] +
                (offset + 2048).to_bytes(4) + header[44:]), rest

    def pass_to_target(self, header, data, sink):
        if header[0] & 0x3F == self.SCSI_COMMAND and header[32] == self.READ_16:
            with self.lock:
                self.count += 1
                if self.count % self.each == 0:
                    self.tags[header[16:20]] = 0
        sink.sendall(header + data)

    def pass_on(self, header, data, sink, first):
        tag = header[16:20]
        with self.lock:
            number = self.tags.get(tag)
            if number is not None:
                self.tags[tag] += 1
        if header[0] & 0x3F == self.DATA_IN and number is not None:
            last = header[1] & 1
            if self.part == "hole" and len(data) >= 4096:
                self.kept += 1
                header, data = self.cut(header, data, sink)
            elif self.part == "all":
                self.kept += 1
                if not last:
                    return
                header, data = header[:5] + bytes(3) + header[8:], b""
            elif self.part == "tail" and last and len(data) > 512:
                self.kept += 1
                data = data[:len(data) - 512]
                header = header[:5] + len(data).to_bytes(3) + header[8:]
        if self.is_answer(header):
            with self.lock:
                self.tags.pop(tag, None)
        sink.sendall(header + data)


class SatedLine(PduLine):
    """Has a WRITE that the target asks data for (R2T) end with GOOD in its place, of each so many."""

    def __init__(self, target_port, each):
        self.each, self.count, self.ended = each, 0, 0
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        self.count += header[0] & 0x3F == self.R2T
        if header[0] & 0x3F == self.R2T and self.count % self.each == 0:
            self.ended += 1
            self.answer_instead(header, sink, 0, b"")
        else:
            sink.sendall(header + data)


class GreedyLine(PduLine):
    """From the R2T of this number on it wants the same data again and again, in each connection.
    length: so much of them, if given."""

    DATA_OUT = 0x05

    def __init__(self, target_port, number, length=None):
        self.left, self.length = number, length
        self.wanted, self.times, self.to_initiator = None, 0, None
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        if header[0] & 0x3F == self.R2T and self.to_initiator is not sink:
            self.left -= 1
            if self.left <= 0:
                if self.length is not None:
                    header = header[:44] + self.length.to_bytes(4)
                self.wanted, self.to_initiator = header, sink
        sink.sendall(header + data)

    def pass_to_target(self, header, data, sink):
        if header[0] & 0x3F != self.DATA_OUT or not self.wanted or \
                header[16:20] != self.wanted[16:20]:
            sink.sendall(header + data)
        elif header[1] & 0x80:
            self.times += 1
            try:
                self.to_initiator.sendall(self.wanted)
            except OSError:
                pass


class EchoLine(PduLine):
    """Gives one Data-In PDU, of the command of this number, again and again, and never ends it."""

    def __init__(self, target_port, number):
        self.left, self.times = number, 0
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        self.left -= header[0] & 0x3F == self.DATA_IN
        if self.left != 0:
            if self.left > 0:
                sink.sendall(header + data)
            return
        header = header[:1] + bytes([header[1] & ~0x81]) + header[2:]
        while True:
            sink.sendall(header + data)
            self.times += 1
            time.sleep(0.01)


class TellingLine(PduLine):
    """Adds a key to what the target tells at login."""

    LOGIN_RESPONSE = 0x23

    def __init__(self, target_port, pair):
        self.pair, self.told = pair, 0
        super().__init__(target_port)

    def pass_on(self, header, data, sink, first):
        if header[0] & 0x3F == self.LOGIN_RESPONSE and b"MaxBurstLength" in data:
            self.told += 1
            data = data[:int.from_bytes(header[5:8])] + self.pair + b"\0"
            header = header[:5] + len(data).to_bytes(3) + header[8:]
            data += bytes(-len(data) % 4)
        sink.sendall(header + data)
