"""Runs in the environment of a real Glance: its own store code puts, gets or deletes one image, without a server.

usage: glance_store_driver.py CONFIG put ID FILE | get URL FILE | delete URL
"""

import sys

import glance_store
from oslo_config import cfg


def main() -> None:
    config, command, *arguments = sys.argv[1:]
    conf = cfg.CONF  # glance_store looks into this one
    conf.register_opts([cfg.DictOpt("enabled_backends")])
    conf(["--config-file", config], project="glance")
    glance_store.register_store_opts(conf)
    glance_store.create_multi_stores(conf)
    if command == "put":
        image_id, path = arguments
        with open(path, "rb") as data:  # noqa: PTH123 - glance_store reads from it
            size = data.seek(0, 2)
            data.seek(0)
            url, _, _, _, _ = glance_store.add_with_multihash(conf, image_id, data, size, "store", "sha512")
        print(url)
    elif command == "get":
        url, path = arguments
        chunks, _ = glance_store.get(url, "store")
        with open(path, "wb") as data:  # noqa: PTH123 - as above
            data.writelines(chunks)
    else:
        glance_store.delete(arguments[0], "store")


if __name__ == "__main__":
    main()
