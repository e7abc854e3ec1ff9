"""A tool with which agents make images, which are saved into one folder."""

from cloudllm_core import hookimpl

from .image import ImageFault, ImageTool

__all__ = ["ImageFault", "ImageTool"]


@hookimpl
def cloudllm_register_tool_protocol() -> type[ImageTool]:
    return ImageTool
