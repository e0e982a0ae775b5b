"""Reads the index of a TensorFlow checkpoint, a table of protocol buffers in LevelDB's format."""

import struct

from tensorflow.core.protobuf import tensor_bundle_pb2

_FOOTER_SIZE = 48
_BLOCK_TRAILER = b"\x00"  # not compressed; followed by a CRC-32C


def read_index(content: bytes) -> dict[str, tensor_bundle_pb2.BundleEntryProto]:
    """Returns the entry of each tensor by name: shape, offset in the data file, masked CRC-32C."""
    footer = content[-_FOOTER_SIZE:]
    _, position = _handle(footer, 0)
    index_block, _ = _handle(footer, position)
    entries = {}
    for _, handle in _entries(content, index_block):
        block, _ = _handle(handle, 0)
        for key, value in _entries(content, block):
            if key:  # the header has an empty one
                entries[key.decode()] = tensor_bundle_pb2.BundleEntryProto.FromString(value)
    return entries


def _entries(content, block):
    """Yields keys and values of a block; a key shares a prefix with the previous one."""
    offset, size = block
    assert content[offset + size : offset + size + 1] == _BLOCK_TRAILER
    data = content[offset : offset + size]
    (restarts,) = struct.unpack("<I", data[-4:])
    end, position, key = size - 4 * (restarts + 1), 0, b""
    while position < end:
        shared, position = _varint(data, position)
        unshared, position = _varint(data, position)
        length, position = _varint(data, position)
        key = key[:shared] + data[position : position + unshared]
        position += unshared
        yield key, data[position : position + length]
        position += length


def _handle(data, position):
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return (offset, size), position


def _varint(data, position):
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
