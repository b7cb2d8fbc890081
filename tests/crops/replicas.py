"""Small pictures, and the files of a data set, for the tests of layouts."""

import cv2
import numpy as np

FILES = ["one.png", "word 2.png", "3.png"]


def png(number):
    return cv2.imencode(".png", np.full((8, 20 + number, 3), 50 * number, np.uint8))[1].tobytes()


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def images(folder, names=FILES):
    for number, name in enumerate(names):
        put(folder / name, png(number))
    return folder
