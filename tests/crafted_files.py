"""Writes index files, data files and object graphs as a damaged or hostile one may be.

Their checksums are right, so only the package's own checks stand between them and TensorFlow's reader.
"""

import os
import struct

import tensorflow as tf
from tensorflow.core.protobuf import tensor_bundle_pb2, trackable_object_graph_pb2

from estimator_warmstart.checkpoint import crc32c as checksums
from estimator_warmstart.checkpoint.leveldb_table import encode_table
from estimator_warmstart.tensors import count_elements

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
MAGIC = 0xDB4775248B80FB57


def masked(data):
    return checksums.mask(checksums.extend(0, data))


def varint(number, length=0):
    """`number` as a varint, of `length` bytes at least."""
    encoded = bytearray()
    while number >= 0x80 or len(encoded) + 1 < length:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded + bytes([number]))


def header(num_shards=1, **fields):
    proto = tensor_bundle_pb2.BundleHeaderProto(num_shards=num_shards, **fields)
    proto.version.producer = proto.version.producer or 1
    return proto.SerializeToString()


def entry(shape=(2,), dtype=1, offset=0, size=None, shard=0, checksum=None, data=b"", slices=(), unknown_rank=False):
    """A `BundleEntryProto`; by default of the bytes at the beginning of the first data file.

    `slices` are ((start, length) for each axis), a length of `None` is the whole axis.
    """
    proto = tensor_bundle_pb2.BundleEntryProto(dtype=dtype, shard_id=shard, offset=offset)
    proto.shape.unknown_rank = unknown_rank
    for length in shape:
        proto.shape.dim.add(size=length)
    proto.size = (0 if slices else 4 * count_elements(shape)) if size is None else size
    proto.crc32c = masked(data) if checksum is None else checksum
    for extents in slices:
        part = proto.slices.add()
        for start, length in extents:
            extent = part.extent.add(start=start)
            if length is not None:
                extent.length = length
    return proto.SerializeToString()


def table(blocks, restarts=None, index_keys=None):
    """A table of `blocks`, each a list of (shared, rest of the key, value) as they are to be stored."""
    content, handles = bytearray(), []
    for number, stored in enumerate(blocks):
        body, last = packed(stored), b""
        for shared, rest, _ in stored:
            last = last[:shared] + rest if len(last) < 1 << 20 else last
        key = index_keys[number] if index_keys else last
        handles.append((0, key, append_block(content, body, [0] if restarts is None else restarts)))
    meta = append_block(content, b"", [0])
    starts = [len(packed(handles[:number])) for number in range(len(handles))]
    footer = meta + append_block(content, packed(handles), starts)
    return bytes(content) + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def packed(stored):
    return b"".join(varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value for shared, rest, value in stored)


def append_block(content, body, restarts):
    block = body + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    handle = varint(len(content)) + varint(len(block))
    content += block + b"\0" + struct.pack("<I", masked(block + b"\0"))
    return handle


def write(folder, index, data=b"\0" * 8, name="model.ckpt", shards=1):
    """Writes an index file, bytes or {key: value}, and a data file; returns the prefix."""
    prefix = os.path.join(str(folder), name)
    if isinstance(index, dict):
        entries = {key.encode() if isinstance(key, str) else key: value for key, value in index.items()}
        index = encode_table({b"": header(shards), **entries})
    for path, content in [(prefix + ".index", index), (f"{prefix}.data-00000-of-{shards:05d}", data)]:
        with open(path, "wb") as file:
            file.write(content)
    return prefix


def strings(*values, lengths=None):
    """The stored bytes of a tensor of strings."""
    lengths = [len(value) for value in values] if lengths is None else lengths
    # The checksum takes each length as 4 bytes, or as 8 if it needs them (tensor_bundle.cc, WriteStringTensor).
    raw = b"".join(struct.pack("<I" if length < 2**32 else "<Q", length) for length in lengths)
    return b"".join(map(varint, lengths)) + struct.pack("<I", masked(raw)) + b"".join(values)


def string_checksum(*values):
    raw = b"".join(struct.pack("<I", len(value)) for value in values)
    return masked(raw + struct.pack("<I", masked(raw)) + b"".join(values))


def object_based(folder, graph, keys=("a",), **options):
    """A checkpoint of float32 [2] variables under `keys`, and `graph`, a proto or bytes, as its object graph."""
    graph = graph if isinstance(graph, bytes) else graph.SerializeToString()
    data = strings(graph)
    entries = {f"{key}{VALUE}": entry(offset=len(data), data=b"\0" * 8) for key in keys}
    entries[OBJECT_GRAPH] = entry((), 7, 0, len(data), checksum=string_checksum(graph), **options)
    return write(folder, entries, data + b"\0" * 8)


def object_graph(*nodes):
    """A graph of `nodes`: ({child's name: node}, {key of its value: full name}, [(slot's name, primary, slot)])."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    for children, values, slots in nodes:
        node = graph.nodes.add()
        for name, number in children.items():
            node.children.add(node_id=number, local_name=name)
        for key, full_name in values.items():
            node.attributes.add(name="VARIABLE_VALUE", full_name=full_name, checkpoint_key=key + VALUE)
        for name, primary, slot in slots:
            node.slot_variables.add(original_variable_node_id=primary, slot_name=name, slot_variable_node_id=slot)
    return graph


def good(folder):
    """A checkpoint that is right, with a, and with v in two slices; returns its prefix."""
    prefix = os.path.join(str(folder), "model.ckpt")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        session.run(
            tf.raw_ops.SaveV2(
                prefix=prefix,
                tensor_names=["a", "v", "v"],
                shape_and_slices=["", "3 1 0,2:-", "3 1 2,1:-"],
                tensors=[tf.constant([1.0, 2.0]), tf.constant([[1.0], [2.0]]), tf.constant([[3.0]])],
            )
        )
    return prefix
