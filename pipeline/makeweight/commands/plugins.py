"""`makeweight plugins`: list families, readers, transforms, classifiers and controls, and their packages."""

import typer

from makeweight.commands.command import app, command


@command
def plugins() -> str:
    """List installed plug-ins and their packages. Those that cannot be loaded are marked."""
    from makeweight.core.text import counted
    from makeweight.project.installed import installed

    groups = installed()
    everything = [plugin for group in groups.values() for plugin in group]
    widths = [max(len(getattr(plugin, field)) for plugin in everything) for field in ("name", "package")]
    for group, found in groups.items():
        typer.echo(group)
        for plugin in found:
            broken = "  (cannot be loaded)" if plugin.error else ""
            typer.echo(f"  {plugin.name:<{widths[0]}}  {plugin.package:<{widths[1]}}  {plugin.value}{broken}")
    errors = dict.fromkeys(plugin.error for plugin in everything if plugin.error)
    for error in errors:
        typer.echo(f"warning: {error}", err=True)
    return counted(len(everything), "plug-in") + (f", {len(errors)} with an error" if errors else "")


main = app(plugins)
