"""Keys that are rotated under us: the next call is signed with the new ones, and none fails."""

from __future__ import annotations

import asyncio
import configparser
import os

import pytest

from tests.cloud.eciserver import KEY, SECRET
from vk_provider.cloud.eci import calls
from vk_provider.cloud.eci.credentials import ChainCredentials, Credentials, FileCredentials, FixedCredentials
from vk_provider.errors import CloudDenied

LIST = calls.describe_groups(limit=1)


@pytest.fixture
def files(tmp_path):
    made = (tmp_path / "id", tmp_path / "secret")
    made[0].write_text(f"{KEY}\n")
    made[1].write_text(f"{SECRET}\n")
    return made


async def test_a_key_that_is_rotated_in_its_files_is_taken_without_a_failed_call(eci, make_client, files):
    client = make_client(credentials=FileCredentials(*files, keep_s=3600))
    await client.call(LIST)
    eci.keys = {"new": "new-secret"}
    files[0].write_text("new")
    files[1].write_text("new-secret")
    await client.call(LIST)
    await client.call(LIST)
    assert [parameters["AccessKeyId"] for _, parameters in eci.calls] == [KEY, KEY, "new", "new"]


async def test_a_key_that_stays_refused_is_not_tried_twice(eci, make_client, files):
    eci.keys = {}
    for source in (FileCredentials(*files), FixedCredentials(Credentials(KEY, SECRET))):
        eci.calls.clear()
        with pytest.raises(CloudDenied):
            await make_client(credentials=source).call(LIST)
        assert len(eci.calls) == 1


async def test_files_are_read_again_after_a_while(files):
    source = FileCredentials(*files, keep_s=0.05)
    assert await source.get() == Credentials(KEY, SECRET)
    files[1].write_text("other")
    await asyncio.sleep(0.1)
    assert await source.get() == Credentials(KEY, "other")
    files[0].unlink()
    await asyncio.sleep(0.1)
    assert await source.get() == Credentials(KEY, "other"), "what is being written keeps what was there"
    source.forget()
    with pytest.raises(CloudDenied, match="cannot be read"):
        await source.get()


async def test_an_empty_file_is_no_key(files):
    files[1].write_text("\n")
    with pytest.raises(CloudDenied, match="empty"):
        await FileCredentials(*files).get()


def write_profile(path, key: str) -> None:
    profile = configparser.ConfigParser()
    profile["default"] = {"enable": "true", "type": "access_key", "access_key_id": key, "access_key_secret": SECRET}
    with path.open("w") as file:
        profile.write(file)


async def test_a_profile_that_changes_is_read_by_the_vendors_chain_once_more(tmp_path):
    """Left to itself the chain would never read it again."""
    from alibabacloud_credentials.client import Client
    from alibabacloud_credentials.provider.profile import ProfileCredentialsProvider

    profile = tmp_path / "credentials.ini"
    write_profile(profile, "first")
    source = ChainCredentials(
        open_chain=lambda: Client(
            provider=ProfileCredentialsProvider(profile_file=str(profile), profile_name="default")
        ),
        keep_s=0.0,
        files=lambda: [profile],
    )
    assert (await source.get()).access_key_id == "first"
    write_profile(profile, "second-key")
    os.utime(profile, (1, 1))
    await asyncio.sleep(0.01)
    assert (await source.get()).access_key_id == "second-key"
